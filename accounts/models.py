"""Who you are: the account and its sessions. Only :mod:`accounts.services` writes here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.validators import RegexValidator, URLValidator
from django.db import models
from django.utils import timezone

from accounts.folding import MOST_GROWTH, fold

USERNAME = r"[A-Za-z0-9_-]{3,32}"
USERNAME_CHARS = 32
DISPLAY_NAME_CHARS = 64
BIO_CHARS = 500
AVATAR_URL_CHARS = 500
CLIENT_LABEL_CHARS = 64
INVITE_NOTE_CHARS = 200
INVITE_USES_MAX = 100_000
INVITE_DAYS_MAX = 3650
PUBLIC_REASON_CHARS = 200
INTERNAL_REASON_CHARS = 500
NOTE_CHARS = 2000


class UserManager(BaseUserManager["User"]):
    """Makes accounts from outside the wire: commands and tests."""

    def create_user(self, username: str, password: str | None = None, **fields: Any) -> User:
        """Make an account; its display name is the username unless given, its password unusable if None.

        Raises :class:`~django.core.exceptions.ValidationError` where a field breaks its rule.
        """
        user = self.model(username=username, **{"display_name": username, **fields})
        user.set_password(password)
        user.full_clean()
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> User:
        """Make an account that may do everything in the admin. Raises as :meth:`create_user`.

        Searches do not find it unless asked to: it has no keys, so nobody could write to it.
        """
        rights = {"is_staff": True, "is_superuser": True}
        return self.create_user(username, password, **{"discoverable": False, **fields, **rights})

    def get_by_natural_key(self, username: str | None) -> User:
        """The account of this name, in whatever case it is written. Raises ``User.DoesNotExist``."""
        return self.get(username_folded=fold(username or ""))

    async def aget_by_natural_key(self, username: str | None) -> User:
        """As :meth:`get_by_natural_key`, from an event loop."""
        return await self.aget(username_folded=fold(username or ""))


class User(AbstractBaseUser, PermissionsMixin):
    """An account. Usernames are unique ignoring case (protocol section 6).

    ``save()`` keeps the folded columns, which all look-ups and the search use;
    ``QuerySet.update`` and bulk writes of names would leave them behind.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    username = models.CharField(
        max_length=USERNAME_CHARS,
        validators=[RegexValidator(rf"^{USERNAME}\Z", "A username has 3 to 32 of A-Z, a-z, 0-9, _ and -.")],
        help_text="As its owner writes it.",
    )
    username_folded = models.CharField(max_length=USERNAME_CHARS, unique=True, blank=True, editable=False)
    display_name = models.CharField(max_length=DISPLAY_NAME_CHARS)
    # Migration 0007 has the indexes of the search: on PostgreSQL they are of kinds that no model can name.
    display_name_folded = models.CharField(
        max_length=DISPLAY_NAME_CHARS * MOST_GROWTH, blank=True, editable=False
    )
    bio = models.CharField(max_length=BIO_CHARS, blank=True)
    avatar_url = models.CharField(
        "avatar URL", max_length=AVATAR_URL_CHARS, blank=True, validators=[URLValidator(schemes=["https"])]
    )
    discoverable = models.BooleanField(default=True, help_text="Other people's searches find this account.")
    last_seen_on = models.DateField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    is_active = models.BooleanField(
        "active", default=True, editable=False, help_text="Off while the account is suspended."
    )
    is_approved = models.BooleanField(
        "approved",
        default=True,
        # A process of the version before, during a rolling restart, names no such column.
        db_default=True,
        editable=False,
        help_text="Until then the account can log in, and neither sends nor is found.",
    )
    must_reset_password = models.BooleanField(
        default=False,
        # As with `is_approved`.
        db_default=False,
        editable=False,
        help_text="Logins are refused until a password-reset code is redeemed.",
    )
    is_hidden = models.BooleanField(
        "hidden",
        default=False,
        # As with `is_approved`.
        db_default=False,
        editable=False,
        help_text="By the staff: searches do not find the account, and its owner cannot change that.",
    )
    messages_per_hour = models.PositiveIntegerField(
        null=True,
        editable=False,
        help_text="Of this account alone; 0: it may not send; none: as the server's.",
    )
    is_staff = models.BooleanField("staff", default=False, help_text="May log into this admin.")

    # Django's own column holds the second of a login; `last_seen_on` is all that is kept here.
    last_login = None

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["username"], name="username_once")]
        # Every batch of messages asks it (:mod:`messaging.mailbox.store`); mostly it is empty.
        indexes = [
            models.Index("id", name="user_pending", condition=models.Q(is_approved=False)),
            # What the admin's list finds by a beginning, and the few that its filters look for.
            models.Index(
                fields=["display_name_folded"], name="user_display_name", opclasses=["varchar_pattern_ops"]
            ),
            models.Index("username_folded", name="user_suspended", condition=models.Q(is_active=False)),
            models.Index("username_folded", name="user_unapproved", condition=models.Q(is_approved=False)),
            models.Index("username_folded", name="user_hidden", condition=models.Q(is_hidden=True)),
            models.Index("username_folded", name="user_reset", condition=models.Q(must_reset_password=True)),
            models.Index("username_folded", name="user_staff", condition=models.Q(is_staff=True)),
            # Who registered last, and who was here today.
            models.Index("created_at", name="user_created"),
            models.Index("last_seen_on", "username_folded", name="user_seen"),
        ]

    def __str__(self) -> str:
        return self.username

    def clean(self) -> None:
        """Fold the names, for the check of uniqueness that follows. Unlike Django's, it rewrites no name."""
        self.username_folded = fold(self.username)
        self.display_name_folded = fold(self.display_name)

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        self.username_folded = fold(self.username)
        self.display_name_folded = fold(self.display_name)
        if update_fields is not None:
            names = {"username", "display_name"}.intersection(update_fields)
            update_fields = {*update_fields, *(f"{name}_folded" for name in names)}
        super().save(update_fields=update_fields, **options)

    def get_full_name(self) -> str:
        return self.display_name

    def get_short_name(self) -> str:
        return self.display_name


class Suspension(models.Model):
    """An account may not be used for a while, or for good. While one is in force, the account is not active."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="suspensions")
    public_reason = models.CharField(
        max_length=PUBLIC_REASON_CHARS, blank=True, help_text="Its owner is told this."
    )
    internal_reason = models.CharField(max_length=INTERNAL_REASON_CHARS, help_text="For the staff alone.")
    begun_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True, help_text="Then it ends by itself; none: it does not.")
    ended_at = models.DateTimeField(null=True, help_text="When it was lifted, replaced by another, or over.")

    class Meta:
        constraints = [
            models.UniqueConstraint("user", name="suspended_once", condition=models.Q(ended_at=None)),
        ]
        indexes = [
            models.Index("ends_at", name="suspension_in_force", condition=models.Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"suspension {self.pk}"


class StaffNote(models.Model):
    """What one of the staff wrote about an account, for the staff. It goes with the account."""

    user = models.ForeignKey(User, models.CASCADE, related_name="staff_notes")
    author_id = models.UUIDField()
    text = models.CharField(max_length=NOTE_CHARS)
    written_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"note {self.pk}"


class FormerName(models.Model):
    """The name of a deleted account, which nobody else may take for a while: its friends would not see the change."""

    digest = models.BinaryField(max_length=16, primary_key=True)
    """Keyed hash of the folded name."""
    free_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"free at {self.free_at}"


class Invite(models.Model):
    """A code that lets people register. The code itself is stored nowhere. It goes when it has expired."""

    digest = models.BinaryField(max_length=16, unique=True)
    """Keyed hash of the code."""
    uses_left = models.PositiveIntegerField()
    expires_at = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    note = models.CharField(max_length=INVITE_NOTE_CHARS, blank=True, help_text="For whom it was made.")

    class Meta:
        # The admin's list, newest first.
        indexes = [models.Index("created_at", name="invite_created")]

    def __str__(self) -> str:
        return f"invite {self.pk}"


class UsedChallenge(models.Model):
    """A proof-of-work challenge with which an account was made. It goes when the challenge has expired."""

    digest = models.BinaryField(max_length=16, primary_key=True)
    """Keyed hash of the challenge."""
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"expires at {self.expires_at}"


class ResetCode(models.Model):
    """A code with which a user sets another password, once; a user has at most one. It is itself stored nowhere."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="reset_code")
    digest = models.BinaryField(max_length=16, unique=True)
    """Keyed hash of the code."""
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"reset code until {self.expires_at}"


class Session(models.Model):
    """A login of a user on one client. The token itself is stored nowhere, only its SHA-256."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="sessions", db_index=False)
    token_digest = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(help_text="To the hour.")
    client_label = models.CharField(max_length=CLIENT_LABEL_CHARS, blank=True)
    address_digest = models.BinaryField(max_length=16)
    """Keyed hash of user and the address of the login: tells only whether this user gave the password there before."""
    address_sealed = models.BinaryField(max_length=128, null=True, editable=False)
    """The address for its owner's eyes, encrypted; none where ``CONSTRUCT_SESSION_ADDRESSES`` says so."""
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index("user", "address_digest", name="session_known_address"),
            # The admin's list, newest first.
            models.Index("created_at", name="session_created"),
            # Those that ended long ago are found by these two.
            models.Index("expires_at", name="session_expires"),
            models.Index("revoked_at", name="session_revoked", condition=models.Q(revoked_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"session {self.pk}"
