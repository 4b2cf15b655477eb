"""Replacing the keys of an account whose device was lost, and what that does to the messages that wait.

What waits was encrypted to the former keys: nobody can read it any more. It is counted
and, if that is asked for, dropped at the moment of the replacement: the transaction that
replaces the keys holds every batch back that has a message for the user. So what was
stored before is counted, and what is stored later is never dropped. Dropping a full
mailbox of the default size holds them back for 0.6 s on PostgreSQL and 0.8 s on SQLite,
where every batch waits (two busy cores, 2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.authentication import check_password, write_checked
from accounts.peers import Peer
from accounts.services import Credentials, Grant
from construct_site.limits import RateLimit, get_limiter
from keys import services as keys
from keys.bundle import Bundle, parse_bundle
from messaging.mailbox import decisions
from messaging.mailbox.store import get_store


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a replacement did."""

    revoked: int
    """How many sessions were ended."""
    unreadable: int
    """How many messages waited for the former keys."""
    dropped: int
    """How many of them were dropped: all or none."""


async def replace_bundle(
    grant: Grant, password: str, public_key: str, *, drop_waiting: bool, peer: Peer
) -> Replaced:
    """Give the account other keys; its other sessions end. All of it happens or nothing.

    A dropped message is like a confirmed one: sent again, it is acked and not delivered. What a live
    connection was handed or rung for by then may still come there. The present bundle again makes
    nothing unreadable and drops nothing.

    Raises ``ConstructError``: INVALID_KEY, INVALID_KEY_BUNDLE, USER_NOT_FOUND, RATE_LIMIT_EXCEEDED
    (replacements count as rotations), AUTH_REQUIRED if the session has ended meanwhile, and as
    :func:`~accounts.authentication.check_password`. What is refused for its form or its password uses up
    nothing of the rotations.
    """
    bundle = parse_bundle(public_key)
    credentials = await check_password(grant.username, password, peer)
    await get_limiter().hit(RateLimit.ROTATIONS, grant.user_id)
    replacing = partial(_replace, bundle=bundle, kept=grant.session_id, drop_waiting=drop_waiting)
    return await write_checked(replacing, credentials, grant.username, password, peer)


def _replace(credentials: Credentials, bundle: Bundle, *, kept: UUID, drop_waiting: bool) -> Replaced:
    with transaction.atomic():
        replacement = keys.replace_bundle(credentials, bundle, kept=kept)
        if not replacement.is_new:
            return Replaced(replacement.revoked, unreadable=0, dropped=0)
        if drop_waiting:
            dropped = decisions.drop(credentials.id, timezone.now())
            return Replaced(replacement.revoked, unreadable=dropped, dropped=dropped)
        unreadable, _, _ = get_store().count(credentials.id)
        return Replaced(replacement.revoked, unreadable, dropped=0)
