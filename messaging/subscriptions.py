"""Which users' groups this process has joined on the channel layer, and whether that is certain.

redis-py returns from a subscription once the command is *written*: a ring that is
published meanwhile can be missed. So a join ends when a ring that this process
sent to the group itself has come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

_JOIN_S = 1.0
_ECHO_S = 0.1


class Subscriptions:
    """Joins and leaves groups. Several that wait for one user's join wait for the same one."""

    def __init__(
        self,
        subscribe: Callable[[UUID], Awaitable[None]],
        unsubscribe: Callable[[UUID], Awaitable[None]],
        ring_self: Callable[[UUID], object],
    ) -> None:
        """`ring_self` rings the user's group in a way that :meth:`echo` is called when it comes back."""
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._ring_self = ring_self
        self._joined: set[UUID] = set()
        self._joining: dict[UUID, asyncio.Task[None]] = {}
        self._echoes: dict[UUID, asyncio.Future[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def is_joined(self, user_id: UUID) -> bool:
        return user_id in self._joined

    async def join(self, user_id: UUID) -> None:
        """Join, or wait for the join under way, for at most 1 s: then :meth:`is_joined` may still be false."""
        if user_id in self._joined:
            return
        task = self._joining.get(user_id)
        if task is None:
            task = self._joining[user_id] = asyncio.create_task(self._join(user_id))
        await asyncio.wait([task])

    async def are_in_force(self, user_id: UUID) -> bool:
        """After the connection was lost and made anew: whether a ring to the user's group comes back, within 1 s.

        All groups are subscribed by one command, so one speaks for all.
        """
        try:
            async with asyncio.timeout(_JOIN_S):
                await self._await_echo(user_id)
        except TimeoutError:
            return False
        return True

    def leave(self, user_id: UUID) -> None:
        """Leave in the background."""
        self._joined.discard(user_id)
        if joining := self._joining.pop(user_id, None):
            joining.cancel()
        task = asyncio.create_task(self._leave(user_id))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def echo(self, user_id: UUID) -> None:
        """A ring of :attr:`ring_self` came back: the subscription is in force."""
        if (echo := self._echoes.get(user_id)) and not echo.done():
            echo.set_result(None)

    async def close(self) -> None:
        for task in (*self._joining.values(), *self._leaving):
            # More than once: redis-py loses a cancellation that meets it while it connects.
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=0.5)

    async def _join(self, user_id: UUID) -> None:
        try:
            async with asyncio.timeout(_JOIN_S):
                await self._subscribe(user_id)
                await self._await_echo(user_id)
            self._joined.add(user_id)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("not subscribed", error=type(error).__name__)
        finally:
            # A leave and another join may have come between.
            if self._joining.get(user_id) is asyncio.current_task():
                del self._joining[user_id]

    async def _await_echo(self, user_id: UUID) -> None:
        echo = self._echoes.setdefault(user_id, asyncio.get_running_loop().create_future())
        try:
            while not echo.done():
                self._ring_self(user_id)
                await asyncio.wait([echo], timeout=_ECHO_S)
        finally:
            self._echoes.pop(user_id, None)

    async def _leave(self, user_id: UUID) -> None:
        try:
            async with asyncio.timeout(_JOIN_S):
                await self._unsubscribe(user_id)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("not unsubscribed", error=type(error).__name__)
