"""Sessions: opened by a login, named by a token, sliding with each resume, revoked for good.

A token is ``construct_`` and 256 random bits in URL-safe base64. It exists in the
client's hands alone; the database finds it by its SHA-256, which needs no salt
and no slow hash, since there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Session, User
from accounts.peers import UNKNOWN, Peer
from accounts.services.credentials import address_digest
from construct_site.errors import ConstructError, ErrorCode, SessionExpired
from construct_site.events import SessionsEnded, send_on_commit

TOKEN_PREFIX = "construct_"  # noqa: S105 - what secret scanners look for, not a secret
TOKEN_BYTES = 32
_TOKEN = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Grant:
    """An open session and whose it is."""

    user_id: UUID
    username: str
    display_name: str
    session_id: UUID
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """Which session of which user."""

    user_id: UUID
    session_id: UUID


def open_session(user: User, peer: Peer) -> Grant:
    """Open a session of `user`, who proved who they are. Raises ``ConstructError(ACCOUNT_SUSPENDED)``."""
    if not user.is_active:
        raise ConstructError(ErrorCode.ACCOUNT_SUSPENDED)
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    now = timezone.now()
    with transaction.atomic():
        session = Session.objects.create(
            user=user,
            token_digest=_digest(token),
            created_at=now,
            expires_at=_expiry(now),
            last_used_at=_hour(now),
            client_label=peer.client_label,
            address_digest=address_digest(user.pk, peer.address),
        )
        _note_presence(user, now)
    return _grant(session, token)


def resume_session(token: str, peer: Peer) -> Grant:
    """Find the session of `token` and slide its expiry; its address and label are now those of `peer`.

    Raises ``ConstructError(INVALID_TOKEN)`` for text that cannot be a token,
    :class:`SessionExpired` for one that is unknown, expired or revoked, and
    ``ConstructError(ACCOUNT_SUSPENDED)``.
    """
    if not _TOKEN.fullmatch(token):
        raise ConstructError(ErrorCode.INVALID_TOKEN)
    now = timezone.now()
    live = Session.objects.filter(token_digest=_digest(token), revoked_at=None, expires_at__gt=now)
    # Outside the transaction, which takes SQLite's write lock: guesses must not hold up who stores messages.
    session = live.select_related("user").first()
    if session is None:
        raise SessionExpired
    if not session.user.is_active:
        raise ConstructError(ErrorCode.ACCOUNT_SUSPENDED)
    session.expires_at = _expiry(now)
    changes = {
        "expires_at": session.expires_at,
        "last_used_at": _hour(now),
        "client_label": peer.client_label,
    }
    if peer.address != UNKNOWN:
        changes["address_digest"] = address_digest(session.user_id, peer.address)
    with transaction.atomic():
        # By the same conditions again: it may have been revoked since it was read.
        if not live.update(**changes):
            raise SessionExpired
        _note_presence(session.user, now)
    return _grant(session, token)


def end_session(token: str) -> SessionIdentity | None:
    """Revoke the session of `token` and end its live sockets; None if there is no such session."""
    session = Session.objects.filter(token_digest=_digest(token)).only("id", "user_id").first()
    if session is None:
        return None
    revoke_sessions(session.user_id, [session.pk])
    return SessionIdentity(session.user_id, session.pk)


def revoke_sessions(user_id: UUID, session_ids: Iterable[UUID] | None = None) -> int:
    """Revoke these sessions of a user, or all, and end their live sockets. Returns how many it changed."""
    sessions = Session.objects.filter(user_id=user_id, revoked_at=None)
    ended = None if session_ids is None else tuple(session_ids)
    if ended is not None:
        sessions = sessions.filter(pk__in=ended)
    with transaction.atomic():
        revoked = sessions.update(revoked_at=timezone.now())
        if revoked or ended is None:
            send_on_commit(SessionsEnded(user_id, ended))
    return revoked


def live_sessions(session_ids: Collection[UUID]) -> set[UUID]:
    """Which of these sessions' sockets may stay: not revoked, not expired, the user active. One query."""
    live = Session.objects.filter(
        pk__in=session_ids, revoked_at=None, expires_at__gt=timezone.now(), user__is_active=True
    )
    return set(live.values_list("pk", flat=True))


def _digest(token: str) -> bytes:
    # surrogatepass: text from JSON can hold what UTF-8 cannot; it is then a token of nobody.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _expiry(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.CONSTRUCT.session_s)


def _hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def _note_presence(user: User, now: datetime) -> None:
    if user.last_seen_on != now.date():
        user.last_seen_on = now.date()
        User.objects.filter(pk=user.pk).update(last_seen_on=now.date())


def _grant(session: Session, token: str) -> Grant:
    user = session.user
    return Grant(user.pk, user.username, user.display_name, session.pk, token, session.expires_at)
