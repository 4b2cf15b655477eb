"""The limiter of an event loop: one face over windows, login door, message counter and connection caps."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

import structlog
from django.conf import settings

from construct_site.limits.connections import ConnectionCounter
from construct_site.limits.door import LoginDoor
from construct_site.limits.keys import address_group, counter_key
from construct_site.limits.messages import MessageCounter
from construct_site.limits.reconcile import MessageReconciler
from construct_site.limits.store import SharedStore
from construct_site.limits.table import HOUR_S, TABLE, Allowance, RateLimit
from construct_site.limits.windows import MovingWindows

log = structlog.get_logger(__name__)

RECONCILE_S = 1.0
"""Pause between two exchanges of message counts with the other processes."""


class Limiter:
    """All limits of one event loop; get it from :func:`get_limiter`. Not thread-safe."""

    def __init__(self, redis_url: str = "") -> None:
        """Empty `redis_url`: counts stay in this limiter's memory. Needs a running event loop."""
        self._store = SharedStore(redis_url) if redis_url else None
        self._windows = MovingWindows(self._store)
        self._door = LoginDoor(self._store)
        self._messages = MessageCounter(is_shared=bool(redis_url))
        self._connections = ConnectionCounter()
        self._reconciler: MessageReconciler | None = None
        self._task: asyncio.Task[None] | None = None
        if self._store:
            self._reconciler = MessageReconciler(self._messages, self._store)
            self._task = asyncio.get_running_loop().create_task(self._reconcile_forever(), name="limits")

    async def hit(self, limit: RateLimit, key: UUID | str, *, per_hour: int | None = None) -> None:
        """Count one use of `limit` by `key`: the user's id, or the peer's address for REGISTRATIONS.

        `per_hour`: a limit in the place of the table's hourly one, beside those of other periods; each amount
        is counted in a window of its own.
        Raises RATE_LIMIT_EXCEEDED, with the time to wait, and counts nothing when
        there is no room. Windows move: the limit holds over any minute, hour or
        day. MESSAGES is :meth:`count_message`.
        """
        config = settings.CONSTRUCT
        if not config.limits_on:
            return
        if limit is RateLimit.MESSAGES:
            self.count_message(key if isinstance(key, UUID) else UUID(key), per_hour)
            return
        row = TABLE[limit]
        counted_for = address_group(str(key)) if row.is_by_address else str(key)
        allowances = row.allowances(config)
        if per_hour is not None:
            others = (each for each in allowances if each.period_s != HOUR_S)
            allowances = (*others, Allowance(per_hour, HOUR_S))
        await self._windows.hit(row.noun, allowances, counter_key(limit.value, counted_for))

    def count_message(self, user_id: UUID, per_hour: int | None = None) -> None:
        """Count one message that the socket's user wants to send. See :class:`MessageCounter`.

        Raises RATE_LIMIT_EXCEEDED, RATE_LIMIT_BLOCKED or USER_BLOCKED.
        """
        self._messages.count(user_id, per_hour)

    async def check_login(self, name: str | None, address: str, known: bool) -> None:
        """Ask for one attempt to log in as `name` from `address`, before the password is looked at.

        `name` is None where a reset code stands for name and password. `known`: that
        user has had a good session from this address. A passed check must be followed by
        :meth:`record_login`, :meth:`record_failed_login` or :meth:`abandon_login` with the
        same arguments. Raises RATE_LIMIT_EXCEEDED. See :class:`LoginDoor`.
        """
        await self._door.check(name, address, known=known)

    async def record_failed_login(self, name: str | None, address: str, known: bool) -> None:
        """The attempt failed: wrong password, no such user or no such reset code."""
        await self._door.failed(name, address, known=known)

    async def record_login(self, name: str | None, address: str, known: bool) -> None:
        """The attempt succeeded: clears the failures of this name, if there is one, from this address."""
        await self._door.succeeded(name, address, known=known)

    async def abandon_login(self, name: str | None, address: str, known: bool) -> None:
        """The attempt ended without a verdict (SERVER_BUSY, the database away): counts as nothing."""
        await self._door.abandoned(name, address, known=known)

    def open_connection(self, address: str) -> None:
        """Count one socket of `address` in this process, or raise TOO_MANY_CONNECTIONS at the cap."""
        self._connections.open(address)

    def close_connection(self, address: str) -> None:
        """Uncount one socket; exactly once for each :meth:`open_connection` that did not raise."""
        self._connections.close(address)

    async def reconcile(self) -> None:
        """Exchange message counts with the other processes now. An outage raises nothing."""
        if self._reconciler:
            await self._reconciler.run()

    async def close(self) -> None:
        """Share the last counts and close all connections. The limiter must not be used afterwards."""
        if _limiters.get(asyncio.get_running_loop()) is self:
            del _limiters[asyncio.get_running_loop()]
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.reconcile()
        if self._store:
            await self._store.close()

    async def _reconcile_forever(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE_S)
            try:
                await self.reconcile()
            except Exception as error:  # noqa: BLE001 - a fault of one round must not end the sharing
                log.warning("message counts not shared", error=type(error).__name__)


_limiters: dict[asyncio.AbstractEventLoop, Limiter] = {}


def get_limiter() -> Limiter:
    """The limiter of the running event loop, made at the first call from the configuration in force then.

    Raises RuntimeError outside an event loop. Whoever ends the loop awaits
    :meth:`Limiter.close` first.
    """
    loop = asyncio.get_running_loop()
    if limiter := _limiters.get(loop):
        return limiter
    for closed in [each for each in _limiters if each.is_closed()]:
        del _limiters[closed]
    limiter = _limiters[loop] = Limiter(settings.CONSTRUCT.redis_url)
    return limiter
