"""Sessions: opened by a login, named by a token, sliding with each resume, revoked for good.

A token is ``construct_`` and 256 random bits in URL-safe base64. It exists in the
client's hands alone; the database finds it by its SHA-256, which needs no salt
and no slow hash, since there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.judgement import get_policy, judge
from accounts.models import Session, User
from accounts.peers import Peer
from accounts.policy import Account, LogInFacts
from accounts.services import addresses
from accounts.services.credentials import address_digest
from accounts.services.suspensions import find_suspension, suspended_users
from construct_site.errors import ConstructError, ErrorCode, SessionExpired
from construct_site.events import SessionsEnded, send_on_commit

TOKEN_PREFIX = "construct_"  # noqa: S105 - what secret scanners look for, not a secret
TOKEN_BYTES = 32
_SLIDE_SHARE = 0.01
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
    account: Account
    """What policies know of it."""


class SessionHasEnded(ConstructError):
    """Whoever asks has no session any more."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.AUTH_REQUIRED, "This session has ended. Log in again.")


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """Which session of which user."""

    user_id: UUID
    session_id: UUID


def open_session(user: User, peer: Peer) -> Grant:
    """Open a session of `user`, who proved who they are. At the cap, the one that was used longest ago ends.

    Raises ``ConstructError``: what the policy refuses with (ACCOUNT_SUSPENDED, PASSWORD_RESET_REQUIRED).
    """
    _check_may_log_in(user, peer, is_resume=False)
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    now = timezone.now()
    session_id = uuid4()
    with transaction.atomic():
        session = Session.objects.create(
            id=session_id,
            user=user,
            token_digest=_digest(token),
            created_at=now,
            expires_at=_expiry(now),
            last_used_at=_hour(now),
            client_label=peer.client_label,
            address_digest=address_digest(user.pk, peer.address),
            address_sealed=addresses.seal(session_id, peer.address),
        )
        _end_the_oldest(user, now)
        _note_presence(user, now)
    return _grant(session, token)


def _check_may_log_in(user: User, peer: Peer, *, is_resume: bool) -> None:
    facts = LogInFacts(
        at=time.time(),
        account=_account(user),
        address=peer.address,
        is_resume=is_resume,
        suspension=find_suspension(user),
        must_reset_password=user.must_reset_password,
    )
    judge(get_policy().may_log_in, facts)


def _end_the_oldest(user: User, now: datetime) -> None:
    """What walks through a user's sessions has an end, however often somebody logs in."""
    live = Session.objects.filter(user=user, revoked_at=None, expires_at__gt=now)
    newest_first = live.order_by("-last_used_at", "-created_at", "pk").values_list("pk", flat=True)
    surplus = list(newest_first[settings.CONSTRUCT.sessions_per_user :])
    if not surplus:
        return
    # The account may be held here, and whoever holds one of these may want it: such a one is left to the next login.
    free = Session.objects.select_for_update(no_key=True, skip_locked=True).filter(pk__in=surplus)
    revoke_sessions(user.pk, list(free.values_list("pk", flat=True)))


def resume_session(token: str, peer: Peer) -> Grant:
    """Resume one session; see :func:`resume_sessions`. Raises what that returns for it."""
    (resumed,) = resume_sessions([(token, peer)])
    if isinstance(resumed, Exception):
        raise resumed
    return resumed


def resume_sessions(requests: Sequence[tuple[str, Peer]]) -> list[Grant | Exception]:
    """Find the session of each token and slide its expiry; the address that it shows, and its label, are now
    those of the peer.

    One query, and one transaction where anything changes. What changes by less than
    a hundredth of a session's life is left as it is, so clients that come back soon
    (all of them, after a restart) cost no write.

    In the place of a grant stands ``ConstructError(INVALID_TOKEN)`` for text that cannot
    be a token, :class:`SessionExpired` for one that is unknown, expired or revoked, or
    the ``ConstructError`` with which the policy refuses (ACCOUNT_SUSPENDED).
    """
    now = timezone.now()
    digests = [_digest(token) if _TOKEN.fullmatch(token) else None for token, _ in requests]
    # Outside the transaction, which takes SQLite's write lock: guesses must not hold up who stores messages.
    live = Session.objects.filter(
        token_digest__in=set(filter(None, digests)), revoked_at=None, expires_at__gt=now
    )
    found = {bytes(session.token_digest): session for session in live.select_related("user").only(*_RESUMED)}
    answers = [
        _judge(digest, found.get(digest or b""), token, peer)
        for digest, (token, peer) in zip(digests, requests, strict=True)
    ]
    stale = [
        (position, session, changes)
        for position, answer in enumerate(answers)
        if isinstance(answer, Grant)
        and (session := found[digests[position] or b""])
        and (changes := _changes(session, requests[position][1], now))
    ]
    if stale:
        with transaction.atomic():
            # Sessions, then accounts, each in the order of their ids: two batches do not wait for each other.
            renewed = []
            for position, session, changes in sorted(stale, key=lambda each: each[1].pk):
                answers[position] = answer = _renew(session, requests[position][0], changes, now)
                if isinstance(answer, Grant):
                    renewed.append(session.user)
            for user in sorted(renewed, key=lambda user: user.pk):
                _note_presence(user, now)
    return answers


_RESUMED = (
    "token_digest",
    "expires_at",
    "last_used_at",
    "client_label",
    "address_sealed",
    "user__username",
    "user__display_name",
    "user__is_active",
    "user__is_approved",
    "user__must_reset_password",
    "user__messages_per_hour",
    "user__created_at",
    "user__last_seen_on",
)


def _judge(digest: bytes | None, session: Session | None, token: str, peer: Peer) -> Grant | Exception:
    if digest is None:
        return ConstructError(ErrorCode.INVALID_TOKEN)
    if session is None:
        return SessionExpired()
    try:
        _check_may_log_in(session.user, peer, is_resume=True)
    except ConstructError as error:
        return error
    return _grant(session, token)


def _changes(session: Session, peer: Peer, now: datetime) -> dict[str, Any]:
    """What a resume writes: nothing, if only so little time has passed that it is not worth it."""
    changes: dict[str, Any] = {"last_used_at": _hour(now), "client_label": peer.client_label}
    is_shown = peer.address == addresses.unseal(session.pk, session.address_sealed)
    # None where none is to be kept.
    if not is_shown and (sealed := addresses.seal(session.pk, peer.address)):
        changes["address_sealed"] = sealed
    is_near = session.expires_at >= _expiry(now) - _SLIDE_SHARE * timedelta(
        seconds=settings.CONSTRUCT.session_s
    )
    is_seen = session.user.last_seen_on == now.date()
    if is_near and is_seen and all(getattr(session, name) == value for name, value in changes.items()):
        return {}
    return {**changes, "expires_at": _expiry(now)}


def _renew(session: Session, token: str, changes: dict[str, Any], now: datetime) -> Grant | Exception:
    # By the same conditions again: it may have been revoked since it was read.
    if not Session.objects.filter(pk=session.pk, revoked_at=None, expires_at__gt=now).update(**changes):
        return SessionExpired()
    session.expires_at = changes["expires_at"]
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
        # In the order of a resume.
        held = list(sessions.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
        revoked = Session.objects.filter(pk__in=held).update(revoked_at=timezone.now())
        if revoked or ended is None:
            send_on_commit(SessionsEnded(user_id, ended))
    return revoked


def revoke_other_sessions(user_id: UUID, kept: UUID | None) -> int:
    """Revoke the sessions of a user, all but `kept`, and end their live sockets. Returns how many it changed.

    `kept` is the session that asks for it. Of two that ask at once, the second has ended by then and
    raises :class:`SessionHasEnded`; it has changed nothing.
    """
    if kept is None:
        return revoke_sessions(user_id)
    sessions = Session.objects.filter(user_id=user_id, revoked_at=None)
    with transaction.atomic():
        # `kept` too: nobody ends it before this has ended the others. In the order of a resume.
        held = list(sessions.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
        require_live(kept)
        return revoke_sessions(user_id, [session_id for session_id in held if session_id != kept])


def require_live(session_id: UUID) -> None:
    """Raise :class:`SessionHasEnded` if this session has ended since its request was let in.

    For what must not be done by who was shut out meanwhile. Within the transaction that does it, once
    that holds what the ending of a session waits for, or what the work is about.
    """
    if not live_sessions([session_id]):
        raise SessionHasEnded


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session as its owner sees it."""

    id: UUID
    client_label: str
    created_at: datetime
    last_used_at: datetime
    """To the hour."""
    expires_at: datetime
    address: str | None
    """None where none was kept, or it can no longer be read."""


def list_sessions(user_id: UUID) -> list[SessionFacts]:
    """The sessions of a user that are neither revoked nor expired, newest first."""
    live = Session.objects.filter(user_id=user_id, revoked_at=None, expires_at__gt=timezone.now())
    return [
        SessionFacts(
            id=session.pk,
            client_label=session.client_label,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
            address=addresses.unseal(session.pk, session.address_sealed),
        )
        for session in live.order_by("-created_at", "pk")
    ]


def purge_sessions(now: datetime, most: int) -> int:
    """Delete up to `most` sessions that ended ``CONSTRUCT_ENDED_SESSION_S`` ago. Returns how many went.

    Until then an ended session tells that its address is known (see :func:`address_is_known`).
    """
    before = now - timedelta(seconds=settings.CONSTRUCT.ended_session_s)
    purged = 0
    # One after the other: each has an index, whose order keeps the database from reading them all instead.
    for end in ("expires_at", "revoked_at"):
        ended = Session.objects.filter(**{f"{end}__lte": before}).order_by(end)
        rows = list(ended.values_list("pk", flat=True)[: most - purged])
        purged += Session.objects.filter(pk__in=rows).delete()[0]
    return purged


def live_sessions(session_ids: Collection[UUID]) -> dict[UUID, Account]:
    """Which of these sessions' sockets may stay, and what policies know of their users now. One query.

    They are not revoked, not expired, the user active.
    """
    live = Session.objects.filter(
        pk__in=session_ids, revoked_at=None, expires_at__gt=timezone.now(), user__is_active=True
    )
    known = ("user_id", "user__created_at", "user__is_approved", "user__messages_per_hour")
    return {session_id: Account(*facts) for session_id, *facts in live.values_list("pk", *known)}


def check_sessions(sessions: Sequence[SessionIdentity]) -> list[Account | ConstructError]:
    """What has become of these sessions, in their order: of one whose sockets may stay, what policies know of its user.

    In the place of another stands why they may not: ACCOUNT_SUSPENDED as the owner is told it, or
    :class:`SessionHasEnded`. One query, and two more where any may not.
    """
    live = live_sessions([each.session_id for each in sessions])
    dead = {each.user_id for each in sessions if each.session_id not in live}
    suspended = suspended_users(dead) if dead else {}
    return [live.get(each.session_id) or _end_of(suspended.get(each.user_id)) for each in sessions]


def _end_of(suspension: str | None) -> ConstructError:
    return ConstructError(ErrorCode.ACCOUNT_SUSPENDED, suspension) if suspension else SessionHasEnded()


def count_seen_on(day: date) -> int:
    """How many accounts logged in, resumed a session or used REST on that day of UTC, the last on which they did.

    Counts them one by one: for a round of housekeeping, not for a page.
    """
    return User.objects.filter(last_seen_on=day).count()


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
    return Grant(
        user.pk,
        user.username,
        user.display_name,
        session.pk,
        token,
        session.expires_at,
        _account(user),
    )


def _account(user: User) -> Account:
    return Account(user.pk, user.created_at, user.is_approved, user.messages_per_hour)
