"""Accounts come, change and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.folding import fold
from accounts.models import FormerName, ResetCode, Session, User
from accounts.services.credentials import Credentials, OutdatedCredentials
from accounts.services.rules import invalid, is_username
from accounts.services.sessions import require_live, revoke_other_sessions
from construct_site.derivation import keyed_digest
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import AccountApproved, AccountLimited, SessionsEnded, send_on_commit

MOST_MESSAGES_PER_HOUR = 1_000_000


def create_account(
    username: str,
    encoded_password: str,
    display_name: str,
    *,
    is_approved: bool = True,
    is_staff: bool = False,
    is_superuser: bool = False,
) -> User:
    """Store a new account. The values were judged by :func:`~accounts.services.check_registration`.

    That of staff has no keys, so nobody could write to it: searches do not find it.

    Inside the caller's transaction, which stays usable when this raises
    ``ConstructError(USERNAME_TAKEN)``: of several at once, the first wins; the name of
    a deleted account rests for ``CONSTRUCT_NAME_REST_S``.
    """
    user = User(
        username=username,
        password=encoded_password,
        display_name=display_name,
        is_approved=is_approved,
        is_staff=is_staff,
        is_superuser=is_superuser,
        discoverable=not is_staff,
    )
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            # After the insert, which waits for a deletion under way: what that stored is seen now.
            if _rests(user.username_folded):
                raise ConstructError(ErrorCode.USERNAME_TAKEN)
    except IntegrityError:
        # The winner has committed, else the database would have made this insert wait.
        if User.objects.filter(username_folded=user.username_folded).exists():
            raise ConstructError(ErrorCode.USERNAME_TAKEN) from None
        raise
    return user


def update_account(user: User, fields: Iterable[str]) -> None:
    """Store these changed fields of an account."""
    user.save(update_fields=set(fields))


def rename_user(user_id: UUID, username: str) -> str:
    """Give an account another name; the former one rests as that of a deleted account. Returns the former one.

    Within the caller's transaction, which holds the account then. Raises ``ConstructError``:
    INVALID_USERNAME, USERNAME_TAKEN, USER_NOT_FOUND.
    """
    if not is_username(username):
        raise ConstructError(ErrorCode.INVALID_USERNAME)
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise ConstructError(ErrorCode.USER_NOT_FOUND)
    former, user.username = user.username, username
    if fold(former) == fold(username):
        user.save(update_fields={"username"})
        return former
    try:
        with transaction.atomic():
            user.save(update_fields={"username"})
            if _rests(user.username_folded):
                raise ConstructError(ErrorCode.USERNAME_TAKEN)
    except IntegrityError:
        raise ConstructError(ErrorCode.USERNAME_TAKEN) from None
    _let_rest(former)
    return former


def set_hidden(user_id: UUID, *, is_hidden: bool) -> None:
    """Whether the staff hide the account from searches. Raises ``ConstructError(USER_NOT_FOUND)``."""
    changes = {"is_hidden": True, "discoverable": False} if is_hidden else {"is_hidden": False}
    if not User.objects.filter(pk=user_id).update(**changes):
        raise ConstructError(ErrorCode.USER_NOT_FOUND)


def approve_account(user_id: UUID) -> bool:
    """Let a new account send and be found, for good; its live sockets hear of it. Whether it was waiting for that."""
    with transaction.atomic():
        is_changed = bool(User.objects.filter(pk=user_id, is_approved=False).update(is_approved=True))
        if is_changed:
            send_on_commit(AccountApproved(user_id))
    return is_changed


def set_limits(user_id: UUID, messages_per_hour: int | None) -> int | None:
    """Give an account a limit of its own, or the server's (None); its live sockets hear of it. Returns the former one.

    Raises ``ConstructError``: VALIDATION_FAILED, USER_NOT_FOUND.
    """
    if messages_per_hour is not None and not 0 <= messages_per_hour <= MOST_MESSAGES_PER_HOUR:
        raise invalid("messagesPerHour", f"Give a number from 0 to {MOST_MESSAGES_PER_HOUR}.")
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
        if user is None:
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        former = user.messages_per_hour
        if former != messages_per_hour:
            User.objects.filter(pk=user_id).update(messages_per_hour=messages_per_hour)
            send_on_commit(AccountLimited(user_id, messages_per_hour))
    return former


def replace_password(credentials: Credentials, encoded: str, *, kept: UUID | None) -> int:
    """Store another password's hash and end the sessions, all but `kept`, and a reset code. Returns how many sessions.

    Raises :class:`OutdatedCredentials`; then nothing has changed.
    """

    def replace() -> None:
        current = User.objects.filter(pk=credentials.id, password=credentials.encoded_password)
        if not current.update(password=encoded):
            raise OutdatedCredentials
        ResetCode.objects.filter(user_id=credentials.id).delete()

    return change_access(credentials.id, replace, kept=kept)


def change_access(user_id: UUID, change: Callable[[], None], *, kept: UUID | None = None) -> int:
    """Have `change` write the account, and end its sessions, all but `kept`. Returns how many that ended.

    One transaction: what `change` raises leaves everything as it was. No session that a
    login opens by the former state of the account outlives it. Raises as
    :func:`~accounts.services.revoke_other_sessions` if `kept` has ended.
    """
    with transaction.atomic():
        # Sessions before their user, the order of a resume: in another, the two could wait for each other.
        ended = revoke_other_sessions(user_id, kept)
        change()
        # A login may have opened one before `change` held the account.
        return ended + revoke_other_sessions(user_id, kept)


def end_other_sessions_of(credentials: Credentials, *, kept: UUID | None) -> int:
    """End the sessions, all but `kept`, of the account whose password was checked just now. Returns how many it ended.

    Within the caller's transaction. Until that ends, the account is held: no login opens another session of
    it, and its password stays. Raises :class:`OutdatedCredentials`.
    """

    def hold() -> None:
        held = User.objects.select_for_update(no_key=True)
        if not held.filter(pk=credentials.id, password=credentials.encoded_password).first():
            raise OutdatedCredentials

    return change_access(credentials.id, hold, kept=kept)


def delete_user(
    user: User,
    *,
    encoded_password: str | None = None,
    is_pending: bool = False,
    asked_by: UUID | None = None,
    check: Callable[[], None] | None = None,
) -> bool:
    """Remove an account with everything it owns: sessions, keys, waiting messages. Its name rests for a while.

    Whether there was such an account; where `encoded_password` is given, one that still had it, and with
    `is_pending` one that waits for approval. Raises ``SessionHasEnded`` if the session `asked_by` has ended, and
    what `check` raises, which is called once the account is held.
    """
    wanted = User.objects.filter(pk=user.pk)
    if is_pending:
        wanted = wanted.filter(is_approved=False)
    if encoded_password is not None:
        wanted = wanted.filter(password=encoded_password)
    with transaction.atomic():
        # In the order of change_access. Whoever holds the account at the moment, a login or the making
        # of a reset code, ends first: what it stored goes with the rest.
        list(Session.objects.select_for_update().filter(user=user).order_by("pk").values_list("pk"))
        held = wanted.select_for_update().first()
        if held is None:
            return False
        if asked_by is not None:
            require_live(asked_by)
        if check is not None:
            check()
        _let_rest(held.username)
        send_on_commit(SessionsEnded(held.pk))
        held.delete()
    return True


def delete_user_of(credentials: Credentials, *, asked_by: UUID) -> None:
    """Remove the account whose password was checked just now.

    Raises :class:`OutdatedCredentials`, and ``SessionHasEnded`` if the session `asked_by` has ended; then
    nothing has changed.
    """
    user = User.objects.filter(pk=credentials.id).first()
    if user is None or not delete_user(
        user, encoded_password=credentials.encoded_password, asked_by=asked_by
    ):
        raise OutdatedCredentials


def free_names(now: datetime) -> int:
    """Forget the names that have rested long enough. Returns how many."""
    return FormerName.objects.filter(free_at__lte=now).delete()[0]


def _let_rest(username: str) -> None:
    free_at = timezone.now() + timedelta(seconds=settings.CONSTRUCT.name_rest_s)
    FormerName.objects.update_or_create(digest=_name_digest(fold(username)), defaults={"free_at": free_at})


def _rests(folded_name: str) -> bool:
    return FormerName.objects.filter(digest=_name_digest(folded_name), free_at__gt=timezone.now()).exists()


def _name_digest(folded_name: str) -> bytes:
    """16 bytes, keyed by the server's secret: the table does not tell who was here."""
    return keyed_digest(b"construct.names", folded_name.encode())
