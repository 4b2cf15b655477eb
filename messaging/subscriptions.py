"""Which users' groups this process has joined on the channel layer, and whether that is certain.

redis-py returns from a subscription once the command is *written*: a ring that is
published meanwhile can be missed. So a join ends when a ring that this process
sent to the group itself has come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from construct_site.logs import describe_error

log = structlog.get_logger(__name__)

_JOIN_S = 1.0
_ECHO_S = 0.1
_TOGETHER = 500
"""Users whose groups are joined by one command: when everybody comes back, a command each is what it costs."""

Change = Callable[[Sequence[UUID]], Awaitable[None]]


class Subscriptions:
    """Joins and leaves groups, one command after another, each for all who wait for one."""

    def __init__(self, subscribe: Change, unsubscribe: Change, ring_self: Callable[[UUID], object]) -> None:
        """`ring_self` rings the user's group in a way that :meth:`echo` is called when it comes back."""
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._ring_self = ring_self
        self._joined: set[UUID] = set()
        self._joining: dict[UUID, asyncio.Future[None]] = {}
        self._leaving: dict[UUID, None] = {}
        self._echoes: dict[UUID, asyncio.Future[None]] = {}
        self._worker: asyncio.Task[None] | None = None

    def is_joined(self, user_id: UUID) -> bool:
        return user_id in self._joined

    async def join(self, user_id: UUID) -> None:
        """Join, or wait for the join under way, for at most 1 s: then :meth:`is_joined` may still be false."""
        if user_id in self._joined:
            return
        joined = self._joining.get(user_id)
        if joined is None:
            joined = self._joining[user_id] = asyncio.get_running_loop().create_future()
            self._go_on()
        await asyncio.wait([joined], timeout=_JOIN_S)

    def leave(self, user_id: UUID) -> None:
        """Leave in the background; who joins again meanwhile stays, or is joined anew."""
        self._joined.discard(user_id)
        if joining := self._joining.pop(user_id, None):
            joining.cancel()
        self._leaving[user_id] = None
        self._go_on()

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

    def echo(self, user_id: UUID) -> None:
        """A ring of :attr:`ring_self` came back: the subscription is in force."""
        if (echo := self._echoes.get(user_id)) and not echo.done():
            echo.set_result(None)

    async def close(self) -> None:
        # More than once: redis-py loses a cancellation that meets it while it connects.
        while self._worker is not None and not self._worker.done():
            self._worker.cancel()
            await asyncio.wait({self._worker}, timeout=0.5)
        for joining in self._joining.values():
            joining.cancel()

    def _go_on(self) -> None:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._leaving or self._joining:
            await self._leave_all()
            await self._join_all()

    async def _leave_all(self) -> None:
        users = [each for each in self._leaving if each not in self._joining and each not in self._joined]
        self._leaving.clear()
        try:
            async with asyncio.timeout(_JOIN_S):
                if users:
                    await self._unsubscribe(users)
        except Exception as error:  # noqa: BLE001 - the next join must find a worker
            log.warning("not unsubscribed", users=len(users), error=describe_error(error))

    async def _join_all(self) -> None:
        """Join those who wait, in the order in which they came; the last one's echo speaks for all."""
        users = list(self._joining)[:_TOGETHER]
        if not users:
            return
        try:
            async with asyncio.timeout(_JOIN_S):
                await self._subscribe(users)
                await self._await_echo(users[-1])
        except Exception as error:  # noqa: BLE001 - who waits is told, whatever failed
            log.warning("not subscribed", users=len(users), error=describe_error(error))
        else:
            # Who left meanwhile waits no more.
            self._joined.update(user_id for user_id in users if user_id in self._joining)
        for user_id in users:
            if (joining := self._joining.pop(user_id, None)) and not joining.done():
                joining.set_result(None)

    async def _await_echo(self, user_id: UUID) -> None:
        echo = self._echoes.setdefault(user_id, asyncio.get_running_loop().create_future())
        try:
            while not echo.done():
                self._ring_self(user_id)
                await asyncio.wait([echo], timeout=_ECHO_S)
        finally:
            self._echoes.pop(user_id, None)
