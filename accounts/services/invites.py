"""Invites: codes that let people register while ``CONSTRUCT_REGISTRATION`` is `invite`.

A code is ``construct_invite_`` and 128 random bits in URL-safe base64. It is shown
once, to who made it; the database finds it by a keyed digest.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.models import Invite
from construct_site.derivation import keyed_digest
from construct_site.errors import ConstructError, ErrorCode

CODE_PREFIX = "construct_invite_"
"""What secret scanners look for."""
CODE_BYTES = 16
_CODE = re.compile(CODE_PREFIX + r"[A-Za-z0-9_-]{22}")


def make_invite(uses: int, life: timedelta, note: str = "") -> str:
    """Make an invite for `uses` registrations within `life`. Returns its code, which is told this once."""
    code = CODE_PREFIX + secrets.token_urlsafe(CODE_BYTES)
    now = timezone.now()
    Invite.objects.create(
        digest=_digest(code), uses_left=uses, created_at=now, expires_at=now + life, note=note
    )
    return code


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
    if not _CODE.fullmatch(code):
        return Invite.objects.none()
    return Invite.objects.filter(digest=_digest(code), uses_left__gt=0, expires_at__gt=timezone.now())


def _digest(code: str) -> bytes:
    return keyed_digest(b"construct.invite", code.encode())
