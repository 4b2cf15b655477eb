"""Invites: codes that let people register while ``CONSTRUCT_REGISTRATION`` is `invite`.

What a code is, says :mod:`accounts.services.codes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.models import Invite
from accounts.services.codes import CodeKind
from construct_site.errors import ConstructError, ErrorCode

_CODES = CodeKind("construct_invite_", b"construct.invite")


@dataclass(frozen=True, slots=True)
class NewInvite:
    """An invite, whose code is shown this once."""

    code: str = field(repr=False)
    id: int


def make_invite(uses: int, life: timedelta, note: str = "") -> NewInvite:
    """Make an invite for `uses` registrations within `life`."""
    code = _CODES.make()
    now = timezone.now()
    invite = Invite.objects.create(
        digest=_CODES.digest(code), uses_left=uses, created_at=now, expires_at=now + life, note=note
    )
    return NewInvite(code, invite.pk)


def check_invite(code: str) -> None:
    """Raise ``ConstructError(INVALID_INVITE)`` unless the code has a use left now. Uses nothing."""
    if not _usable(code).exists():
        raise ConstructError(ErrorCode.INVALID_INVITE)


def use_invite(code: str) -> None:
    """Take one use of the code, within the caller's transaction: if that fails, the use is there again.

    Of two at once who want the last use, the second waits for the first one's
    transaction. Raises ``ConstructError(INVALID_INVITE)`` for a code that is unknown,
    used up or expired.
    """
    if not _usable(code).update(uses_left=F("uses_left") - 1):
        raise ConstructError(ErrorCode.INVALID_INVITE)


def end_invites(invite_ids: Iterable[int]) -> int:
    """Let these invites expire now. Returns how many were in force."""
    now = timezone.now()
    return Invite.objects.filter(pk__in=invite_ids, expires_at__gt=now).update(expires_at=now)


def purge_invites(now: datetime) -> int:
    """Delete the invites that have expired. Returns how many."""
    return Invite.objects.filter(expires_at__lte=now).delete()[0]


def _usable(code: str) -> QuerySet[Invite]:
    return Invite.objects.filter(digest=_CODES.digest(code), uses_left__gt=0, expires_at__gt=timezone.now())
