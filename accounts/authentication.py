"""Logging in, resuming and logging out: the one way for the socket and for REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import transaction

from accounts.models import User
from accounts.passwords import get_password_hashing, must_update
from accounts.peers import Peer
from accounts.services import (
    Credentials,
    Grant,
    OutdatedCredentials,
    SessionIdentity,
    address_is_known,
    check_new_password,
    delete_user_of,
    end_session,
    find_credentials,
    find_reset_code,
    open_session,
    redeem_reset_code,
    replace_hash,
    replace_password,
    resume_sessions,
)
from accounts.services.rules import is_password_shaped
from construct_site.batching import Batcher
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import get_limiter
from construct_site.metrics.collector import count
from construct_site.metrics.table import Metric

T = TypeVar("T")
_RESUMED_TOGETHER = 100
_resuming: WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher[tuple[str, Peer], Grant]] = (
    WeakKeyDictionary()
)


async def log_in(username: str, password: str, peer: Peer) -> Grant:
    """Open a session for who knows the password.

    Raises ``ConstructError``: INVALID_CREDENTIALS for an unknown name and a wrong
    password alike, after the same queries and the same one hash;
    RATE_LIMIT_EXCEEDED before any hash; ACCOUNT_SUSPENDED and PASSWORD_RESET_REQUIRED
    only to who knows the password; SERVER_BUSY.
    """
    credentials = await check_password(username, password, peer)
    opening = partial(_open, peer=peer)
    grant, current = await write_checked(opening, credentials, username, password, peer)
    count(Metric.LOGINS)
    await _refresh_hash(current, password)
    return grant


async def check_password(username: str, password: str, peer: Peer) -> Credentials:
    """The account of who knows the password. Raises as :func:`log_in`, apart from what that tells only to who knows it.

    Failures count at the login's door, whatever the password is asked for.
    """
    credentials, is_known = await run_in_database_thread(_look_up, username, peer.address)
    async with _attempt(username, peer.address, known=is_known):
        is_right = await _verify(credentials, password)
        if credentials is None or not is_right:
            raise ConstructError(ErrorCode.INVALID_CREDENTIALS)
    return credentials


async def write_checked(
    write: Callable[[Credentials], T], credentials: Credentials, username: str, password: str, peer: Peer
) -> T:
    """Run `write` with the credentials that :func:`check_password` gave, and return what it returns.

    Whatever a password is asked for is written so. `write` runs in a database thread and raises
    ``OutdatedCredentials``, having changed nothing, where the account has another hash by then: of another
    password, or of this one, brought to today's parameters by a login. So the password is checked
    against that one too, once. Raises as :func:`check_password`.
    """
    try:
        return await run_in_database_thread(write, credentials)
    except OutdatedCredentials:
        current = await check_password(username, password, peer)
    return await run_in_database_thread(write, current)


async def change_password(
    username: str,
    current: str,
    new: str,
    peer: Peer,
    *,
    kept: UUID | None,
    replace: Callable[..., int] = replace_password,
) -> int:
    """Give the account another password; its sessions end, all but `kept`. Returns how many did.

    `replace` does it, as :func:`~accounts.services.replace_password`.

    Raises ``ConstructError``: WEAK_PASSWORD, AUTH_REQUIRED if `kept` has ended meanwhile, and as
    :func:`check_password`. Then nothing has changed.
    """
    check_new_password(new, username)
    credentials = await check_password(username, current, peer)
    encoded = await get_password_hashing().make(new)
    replacing = partial(replace, encoded=encoded, kept=kept)
    return await write_checked(replacing, credentials, username, current, peer)


async def reset_password(code: str, new: str, peer: Peer) -> None:
    """Give the account that the reset code is for another password; all its sessions end.

    A code that is none counts as a failed login of the peer's address. Raises
    ``ConstructError``: INVALID_CREDENTIALS as :func:`~accounts.services.find_reset_code`,
    RATE_LIMIT_EXCEEDED before any look at the code, WEAK_PASSWORD, SERVER_BUSY. Then nothing
    has changed and the code can be used still.
    """
    async with _attempt(None, peer.address):
        found = await run_in_database_thread(find_reset_code, code)
        check_new_password(new, found.username)
        # Before the transaction: it holds the account, on SQLite everything.
        encoded = await get_password_hashing().make(new)
        await run_in_database_thread(redeem_reset_code, found, encoded)


async def delete_account(grant: Grant, password: str, peer: Peer) -> None:
    """Delete the account of who knows its password. Raises as :func:`change_password`; then nothing has changed."""
    credentials = await check_password(grant.username, password, peer)
    deleting = partial(delete_user_of, asked_by=grant.session_id)
    await write_checked(deleting, credentials, grant.username, password, peer)


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


@asynccontextmanager
async def _attempt(name: str | None, address: str, *, known: bool = False) -> AsyncIterator[None]:
    """One attempt at the login's door; see :class:`~construct_site.limits.door.LoginDoor`.

    INVALID_CREDENTIALS raised inside counts as a failure, any other end without success as nothing.
    """
    limiter = get_limiter()
    await limiter.check_login(name, address, known)
    try:
        yield
    except BaseException as error:
        is_failure = isinstance(error, ConstructError) and error.code is ErrorCode.INVALID_CREDENTIALS
        if is_failure:
            count(Metric.FAILED_LOGINS)
        leave = limiter.record_failed_login if is_failure else limiter.abandon_login
        await leave(name, address, known)
        raise
    await limiter.record_login(name, address, known)


def _look_up(username: str, address: str) -> tuple[Credentials | None, bool]:
    credentials = find_credentials(username)
    return credentials, address_is_known(credentials.id if credentials else None, address)


async def _verify(credentials: Credentials | None, password: str) -> bool:
    """One hash in any case, and never of text that cannot be a password."""
    if credentials is None or not is_password_shaped(password):
        return await get_password_hashing().verify(None, "")
    return await get_password_hashing().verify(credentials.encoded_password, password)


def _open(credentials: Credentials, peer: Peer) -> tuple[Grant, Credentials]:
    """The session, and what it was opened by. Raises ``OutdatedCredentials``, and as ``open_session``."""
    # Held until the session is open, so that a change of the password ends this one too.
    same = User.objects.select_for_update(no_key=True)
    with transaction.atomic():
        user = same.filter(pk=credentials.id, password=credentials.encoded_password).first()
        if user is None:
            raise OutdatedCredentials
        return open_session(user, peer), credentials


async def _refresh_hash(credentials: Credentials, password: str) -> None:
    """Bring an old hash to today's parameters. A busy server does it at a later login."""
    if not must_update(credentials.encoded_password):
        return
    try:
        encoded = await get_password_hashing().make(password)
    except ConstructError:
        return
    await run_in_database_thread(replace_hash, credentials.id, credentials.encoded_password, encoded)
