"""Logging in, resuming and logging out: the one way for the socket and for REST."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from django.db import transaction

from accounts.models import User
from accounts.passwords import get_password_hashing, must_update
from accounts.peers import Peer
from accounts.services import (
    Credentials,
    Grant,
    SessionIdentity,
    address_is_known,
    check_new_password,
    delete_user_of,
    end_session,
    find_credentials,
    open_session,
    replace_hash,
    replace_password,
    resume_sessions,
)
from accounts.services.rules import is_password_shaped
from construct_site.batching import Batcher
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import get_limiter

_RESUMED_TOGETHER = 100
_resuming: WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher[tuple[str, Peer], Grant]] = (
    WeakKeyDictionary()
)


async def log_in(username: str, password: str, peer: Peer) -> Grant:
    """Open a session for who knows the password.

    Raises ``ConstructError``: INVALID_CREDENTIALS for an unknown name and a wrong
    password alike, after the same queries and the same one hash;
    RATE_LIMIT_EXCEEDED before any hash; ACCOUNT_SUSPENDED only to who knows the
    password; SERVER_BUSY.
    """
    credentials = await check_password(username, password, peer)
    grant = await run_in_database_thread(_open, credentials, peer)
    await _refresh_hash(credentials, password)
    return grant


async def check_password(username: str, password: str, peer: Peer) -> Credentials:
    """The account of who knows the password. Raises as :func:`log_in`, ACCOUNT_SUSPENDED apart.

    Failures count at the login's door, whatever the password is asked for.
    """
    credentials, is_known = await run_in_database_thread(_look_up, username, peer.address)
    attempt = (username, peer.address, is_known)
    limiter = get_limiter()
    await limiter.check_login(*attempt)
    try:
        is_right = await _verify(credentials, password)
    except BaseException:
        await limiter.abandon_login(*attempt)
        raise
    if credentials is None or not is_right:
        await limiter.record_failed_login(*attempt)
        raise ConstructError(ErrorCode.INVALID_CREDENTIALS)
    await limiter.record_login(*attempt)
    return credentials


async def change_password(grant: Grant, current: str, new: str, peer: Peer) -> int:
    """Give the account another password; its other sessions end. Returns how many did.

    Raises ``ConstructError``: WEAK_PASSWORD, and as :func:`check_password`. Then nothing
    has changed.
    """
    check_new_password(new, grant.username)
    credentials = await check_password(grant.username, current, peer)
    encoded = await get_password_hashing().make(new)
    return await run_in_database_thread(replace_password, credentials, encoded, kept=grant.session_id)


async def delete_account(grant: Grant, password: str, peer: Peer) -> None:
    """Delete the account of who knows its password. Raises as :func:`check_password`; then nothing has changed."""
    credentials = await check_password(grant.username, password, peer)
    await run_in_database_thread(delete_user_of, credentials)


async def resume(token: str, peer: Peer) -> Grant:
    """Continue the session of `token`. Raises as :func:`~accounts.services.resume_session`.

    When everybody comes back at once, their sessions are looked up together.
    """
    loop = asyncio.get_running_loop()
    if loop not in _resuming:
        _resuming[loop] = Batcher(_resume_together, most=_RESUMED_TOGETHER)
    return await _resuming[loop].call((token, peer))


async def _resume_together(requests: Sequence[tuple[str, Peer]]) -> list[Grant | Exception]:
    return await run_in_database_thread(resume_sessions, requests)


async def log_out(token: str) -> SessionIdentity | None:
    """Revoke the session of `token`; None if there is none."""
    return await run_in_database_thread(end_session, token)


def _look_up(username: str, address: str) -> tuple[Credentials | None, bool]:
    credentials = find_credentials(username)
    return credentials, address_is_known(credentials.id if credentials else None, address)


async def _verify(credentials: Credentials | None, password: str) -> bool:
    """One hash in any case, and never of text that cannot be a password."""
    if credentials is None or not is_password_shaped(password):
        return await get_password_hashing().verify(None, "")
    return await get_password_hashing().verify(credentials.encoded_password, password)


def _open(credentials: Credentials, peer: Peer) -> Grant:
    # Read again: the account may have been deleted, or its password changed, while the hash ran.
    # Held until the session is open, so that a change of the password ends this one too.
    same = User.objects.select_for_update(no_key=True)
    with transaction.atomic():
        user = same.filter(pk=credentials.id, password=credentials.encoded_password).first()
        if user is None:
            raise ConstructError(ErrorCode.INVALID_CREDENTIALS)
        return open_session(user, peer)


async def _refresh_hash(credentials: Credentials, password: str) -> None:
    """Bring an old hash to today's parameters. A busy server does it at a later login."""
    if not must_update(credentials.encoded_password):
        return
    try:
        encoded = await get_password_hashing().make(password)
    except ConstructError:
        return
    await run_in_database_thread(replace_hash, credentials.id, credentials.encoded_password, encoded)
