"""Enrolling, checking and removing a second factor. The rules of who needs one stand here too."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.chain import Actor, append
from accounts.models import User
from accounts.second_factor.models import RECOVERY, SECRET_BYTES, Authenticator, RecoveryCode

RECOVERY_CODES = 10


class WrongCode(Exception):
    """The code is wrong, was used before, or no code is looked at until `open_at`."""

    def __init__(self, open_at: datetime | None) -> None:
        super().__init__()
        self.open_at = open_at


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a staff member got with the second factor."""

    has_one: bool
    """A confirmed one."""

    @property
    def is_required(self) -> bool:
        """Once there is one, it is asked for, whatever the setting says."""
        return self.has_one or settings.CONSTRUCT.requires_second_factor


def standing_of(user_id: UUID) -> Standing:
    return Standing(Authenticator.objects.filter(user=user_id, confirmed=True).exists())


def begin(user: User) -> Authenticator:
    """The secret to be confirmed: the same at each call until it is. None is made where one is confirmed already."""
    fresh = Authenticator(user=user)
    fresh.put_secret(secrets.token_bytes(SECRET_BYTES))
    with transaction.atomic():
        found: Authenticator
        found, _ = Authenticator.objects.get_or_create(
            user=user, defaults={"secret_sealed": fresh.secret_sealed}
        )
        if not found.confirmed and found.secret() is None:
            found.secret_sealed = fresh.secret_sealed
            found.save()
    return found


def confirm(user: User, code: str) -> list[str]:
    """Put the begun second factor in force. Returns its recovery codes, shown this once. Raises :class:`WrongCode`."""
    with transaction.atomic():
        authenticator = _held(user.pk, confirmed=False)
        # A wrong code is counted: that is not to be rolled back.
        if is_right := authenticator.verify_token(code):
            authenticator.confirmed, authenticator.confirmed_at = True, timezone.now()
            authenticator.save()
            codes = _renew(authenticator)
            append(Actor.staff(user.pk), Action.ENROL_SECOND_FACTOR, user_id=user.pk)
    if not is_right:
        raise _wrong(authenticator)
    return codes


def check(user: User, code: str) -> Authenticator:
    """Take a code of the device, or a recovery code. Raises :class:`WrongCode`."""
    with transaction.atomic():
        authenticator = _held(user.pk, confirmed=True)
        is_right = authenticator.verify_token(code)
    if not is_right:
        raise _wrong(authenticator)
    return authenticator


def renew_recovery_codes(user: User, code: str) -> list[str]:
    """Fresh recovery codes in place of the former ones, for a code. Raises :class:`WrongCode`."""
    with transaction.atomic():
        authenticator = _held(user.pk, confirmed=True)
        if is_right := authenticator.verify_token(code):
            codes = _renew(authenticator)
            append(Actor.staff(user.pk), Action.RENEW_RECOVERY_CODES, user_id=user.pk)
    if not is_right:
        raise _wrong(authenticator)
    return codes


def remove(user_id: UUID) -> bool:
    """Take the second factor and its recovery codes away. Whether there was one."""
    return bool(Authenticator.objects.filter(user=user_id).delete()[0])


def record_sign_in(user_id: UUID) -> None:
    """To be called once whoever signs in was asked for everything."""
    with transaction.atomic():
        append(Actor.staff(user_id), Action.SIGN_IN, user_id=user_id)


def recovery_codes_left(user_id: UUID) -> int:
    return RecoveryCode.objects.filter(authenticator__user=user_id).count()


def _held(user_id: UUID, *, confirmed: bool) -> Authenticator:
    """Locked, so that a code is taken once. Raises :class:`WrongCode` where there is none."""
    rows = Authenticator.objects.select_for_update()
    held: Authenticator | None = rows.filter(user=user_id, confirmed=confirmed).first()
    if held is None:
        raise WrongCode(None)
    return held


def _wrong(authenticator: Authenticator) -> WrongCode:
    _, why = authenticator.verify_is_allowed()
    return WrongCode(why["locked_until"] if why else None)


def _renew(authenticator: Authenticator) -> list[str]:
    codes = [RECOVERY.make() for _ in range(RECOVERY_CODES)]
    authenticator.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(authenticator=authenticator, digest=RECOVERY.digest(code)) for code in codes
    )
    return codes
