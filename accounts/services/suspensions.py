"""Suspensions: an account may not be used until an end, or until somebody lifts it. Messages to it wait meanwhile.

Its sessions stay: they open nothing until the suspension ends, and then go on.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import INTERNAL_REASON_CHARS, PUBLIC_REASON_CHARS, Suspension, User
from accounts.policy import SuspensionNotice
from accounts.services.rules import checked_prose, invalid
from construct_site.errors import ERRORS, ConstructError, ErrorCode
from construct_site.events import AccountSuspended, send_on_commit


def suspend_user(
    user_id: UUID, *, public_reason: str, internal_reason: str, ends_at: datetime | None
) -> Suspension:
    """Suspend an account from now on, in the place of a suspension that is in force; its sockets close.

    Raises ``ConstructError``: VALIDATION_FAILED for a reason that is too long or has control
    characters and for an end that is over; USER_NOT_FOUND.
    """
    public = checked_prose("publicReason", public_reason, PUBLIC_REASON_CHARS)
    internal = checked_prose("internalReason", internal_reason, INTERNAL_REASON_CHARS)
    now = timezone.now()
    if ends_at is not None and ends_at <= now:
        raise invalid("endsAt", "It is over already.")
    with transaction.atomic():
        if not User.objects.select_for_update(no_key=True).filter(pk=user_id).first():
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        _in_force().filter(user=user_id).update(ended_at=now)
        suspension = Suspension.objects.create(
            user_id=user_id, public_reason=public, internal_reason=internal, begun_at=now, ends_at=ends_at
        )
        User.objects.filter(pk=user_id).update(is_active=False)
        send_on_commit(AccountSuspended(user_id, _told(suspension)))
    return suspension


def replaced_by(suspension: Suspension) -> Suspension | None:
    """The suspension that was in force when this one took its place."""
    # Both were written at one moment, by one who held the account.
    ended_then = Suspension.objects.filter(user=suspension.user_id, ended_at=suspension.begun_at)
    return ended_then.exclude(pk=suspension.pk).first()


def lift_suspension(user_id: UUID) -> bool:
    """Let an account be used again. Whether it was suspended."""
    with transaction.atomic():
        # The account before its suspensions, the order of `suspend_user`.
        if not User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=False).first():
            return False
        _in_force().filter(user=user_id).update(ended_at=timezone.now())
        User.objects.filter(pk=user_id).update(is_active=True)
    return True


def end_suspensions(now: datetime) -> list[UUID]:
    """Lift the suspensions whose end has come. Returns whose they were."""
    over = _in_force().filter(ends_at__lte=now).order_by("ends_at").values_list("user_id", flat=True)
    return [user_id for user_id in over if _lift_if_over(user_id, now)]


def find_suspension(user: User) -> SuspensionNotice | None:
    """The suspension of an account; None for one that is active.

    One whose end has come is lifted here: nobody waits for the next round of housekeeping.
    """
    if user.is_active:
        return None
    now = timezone.now()
    suspension = _in_force().filter(user=user).first()
    if suspension is not None and suspension.ends_at is not None and suspension.ends_at <= now:
        _lift_if_over(user.pk, now)
        suspension = _in_force().filter(user=user).first()
    if suspension is None and User.objects.filter(pk=user.pk, is_active=True).exists():
        # Lifted since the account was read: here, for another device of the same moment, or by the staff.
        user.is_active = True
        return None
    if suspension is not None and suspension.ends_at is not None:
        return SuspensionNotice(_told(suspension), max(0.0, (suspension.ends_at - now).total_seconds()))
    return SuspensionNotice(_told(suspension), None)


def suspended_users(user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Which of these accounts are suspended, and what their owners are told. Two queries."""
    suspended = User.objects.filter(pk__in=user_ids, is_active=False).values_list("pk", flat=True)
    told = {each.user_id: _told(each) for each in _in_force().filter(user__in=user_ids)}
    return {user_id: told.get(user_id, _told(None)) for user_id in suspended}


def _lift_if_over(user_id: UUID, now: datetime) -> bool:
    with transaction.atomic():
        if not User.objects.select_for_update(no_key=True).filter(pk=user_id).first():
            return False
        # Read again: it may have been replaced by another meanwhile.
        if not _in_force().filter(user=user_id, ends_at__lte=now).update(ended_at=now):
            return False
        User.objects.filter(pk=user_id).update(is_active=True)
    return True


def _in_force() -> QuerySet[Suspension]:
    return Suspension.objects.filter(ended_at=None)


def _told(suspension: Suspension | None) -> str:
    """The sentence for the account's owner."""
    if suspension is None:
        return ERRORS[ErrorCode.ACCOUNT_SUSPENDED].text
    end = f" until {suspension.ends_at:%Y-%m-%d %H:%M} UTC" if suspension.ends_at else ""
    reason = f" Reason: {suspension.public_reason}" if suspension.public_reason else ""
    return f"This account is suspended{end}.{reason}"
