"""What staff did, as a chain. Only :mod:`accounts.audit.chain` writes here."""

from __future__ import annotations

from django.conf import settings
from django.db import models

REASON_CHARS = 500
TARGET_CHARS = 200
MAC_BYTES = 32
SALT_BYTES = 16


class AuditEntry(models.Model):
    """One act of staff: who, what, to whom by id, why, when. Never changed and never deleted.

    It refers to nobody by a foreign key: it outlives the account of who acted and of whom it was done to.
    """

    class ActorKind(models.TextChoices):
        STAFF = "staff"
        """A person of the staff, by the admin or REST; `actor_id` is theirs."""
        OPERATOR = "operator"
        """Who reached the server's console."""
        SYSTEM = "system"
        """The running server."""

    number = models.BigIntegerField(primary_key=True)
    """1, 2, 3 …, without gaps."""
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16, choices=ActorKind.choices)
    actor_id = models.UUIDField(null=True)
    action = models.CharField(max_length=32)
    """One of :class:`~accounts.audit.actions.Action`."""
    user_id = models.UUIDField(null=True)
    """To whom it was done."""
    target = models.CharField(max_length=TARGET_CHARS, blank=True)
    """What else it was done to, by kind and id: ``report 6f…``."""
    reason = models.CharField(max_length=REASON_CHARS, blank=True)
    details_digest = models.BinaryField(max_length=MAC_BYTES, null=True)
    """SHA-256 of salt and content of the row's :class:`AuditDetails`."""
    key_id = models.BinaryField(max_length=8)
    """Which key `mac` is by: 8 bytes of the key's SHA-256."""
    mac = models.BinaryField(max_length=MAC_BYTES)
    """HMAC-SHA-256 of the `mac` before and of this row."""

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit"
        indexes = [
            models.Index("user_id", "number", name="audit_by_user"),
            models.Index("actor_id", "number", name="audit_by_actor"),
            # What the admin's list filters by.
            models.Index("action", "number", name="audit_by_action"),
            models.Index("actor_kind", "number", name="audit_by_actor_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.action}"


class AuditDetails(models.Model):
    """Personal fields before and after an act. They go with the account that they are of; the chain stays whole."""

    entry = models.OneToOneField(AuditEntry, models.PROTECT, primary_key=True, related_name="details")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    salt = models.BinaryField(max_length=SALT_BYTES)
    changes = models.JSONField()
    """Before and after, by the field's name: ``{"username": ["old", "new"]}``."""

    class Meta:
        verbose_name_plural = "audit details"

    def __str__(self) -> str:
        return f"details of {self.entry_id}"


class AuditHead(models.Model):
    """The end of the chain: one row. Who appends holds it, so there is one writer at a time."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    number = models.BigIntegerField(default=0)
    mac = models.BinaryField(max_length=MAC_BYTES)

    def __str__(self) -> str:
        return f"{self.number}:{bytes(self.mac).hex()}"
