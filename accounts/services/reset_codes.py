"""Password-reset codes: with one, who cannot log in chooses another password.

What a code is, says :mod:`accounts.services.codes`. It works once, for
``CONSTRUCT_RESET_CODE_S``; a newer code of the same user and any change of the
password end it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import ResetCode, User
from accounts.services.codes import CodeKind
from accounts.services.lifecycle import change_access
from construct_site.errors import ConstructError, ErrorCode

_CODES = CodeKind("construct_reset_", b"construct.reset")


@dataclass(frozen=True, slots=True)
class NewResetCode:
    """A code, shown this once."""

    code: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class FoundResetCode:
    """A code that was in force when it was looked up, and whose it is."""

    user_id: UUID
    username: str
    digest: bytes = field(repr=False)


def make_reset_code(user_id: UUID) -> NewResetCode:
    """Make a code for this user, in the place of an earlier one. Raises ``ConstructError(USER_NOT_FOUND)``."""
    code = _CODES.make()
    now = timezone.now()
    expires_at = now + timedelta(seconds=settings.CONSTRUCT.reset_code_s)
    with transaction.atomic():
        # Held until the code is stored: a deletion waits for it, and takes it along.
        user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
        if user is None:
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        ResetCode.objects.update_or_create(
            user=user, defaults={"digest": _CODES.digest(code), "made_at": now, "expires_at": expires_at}
        )
    return NewResetCode(code, expires_at)


def find_reset_code(code: str) -> FoundResetCode:
    """Whose code this is. One query, whatever the text.

    Raises ``ConstructError(INVALID_CREDENTIALS)`` for one that is wrong, used, replaced or
    expired, in the same words.
    """
    digest = _CODES.digest(code)
    found = ResetCode.objects.select_related("user").filter(digest=digest, expires_at__gt=timezone.now())
    reset = found.only("user__username").first()
    if reset is None:
        raise _refusal()
    return FoundResetCode(reset.user_id, reset.user.username, digest)


def redeem_reset_code(found: FoundResetCode, encoded: str) -> None:
    """Use the code up and store another password's hash: logins are let in again, and all sessions end.

    All or nothing; of several at once one wins. Raises as :func:`find_reset_code`.
    """

    def redeem() -> None:
        # The account first, which is held from then on: of two at once, the second finds the code gone.
        account = User.objects.filter(pk=found.user_id)
        code = ResetCode.objects.filter(digest=found.digest, expires_at__gt=timezone.now())
        if not (account.update(password=encoded, must_reset_password=False) and code.delete()[0]):
            raise _refusal()

    change_access(found.user_id, redeem)


def require_password_reset(user_id: UUID) -> None:
    """Refuse logins of this account until a reset code is redeemed; all its sessions end.

    Raises ``ConstructError(USER_NOT_FOUND)``.
    """

    def require() -> None:
        if not User.objects.filter(pk=user_id).update(must_reset_password=True):
            raise ConstructError(ErrorCode.USER_NOT_FOUND)

    change_access(user_id, require)


def purge_reset_codes(now: datetime) -> int:
    """Delete the codes that have expired. Returns how many."""
    return ResetCode.objects.filter(expires_at__lte=now).delete()[0]


def _refusal() -> ConstructError:
    return ConstructError(
        ErrorCode.INVALID_CREDENTIALS, "This reset code is unknown, used, replaced or expired."
    )
