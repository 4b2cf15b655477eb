"""Whether this process lives, and whether it should be sent work: ``/health/live`` and ``/health/ready``.

Answered in the event loop, before Django: a load balancer that asks by address names
no host of ours, and an answer must not wait for a thread that a dead database holds.
The answers hold no secret, no address and no name, and everybody may have them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from channels.layers import get_channel_layer

from construct_site import checks, notices
from construct_site.database import run_in_database_thread
from construct_site.errors import ErrorCode
from construct_site.logs import describe_error
from construct_site.plain_answers import send_error, send_json

log = structlog.get_logger(__name__)

LIVE_PATH, READY_PATH = "/health/live", "/health/ready"
DRAINING_EXTENSION = "http.draining"
"""In ``scope["extensions"]`` of a request to a server that is ending."""
ANSWER_S = 2.0
"""Longest time for one check; what takes longer counts as failed."""
KEPT_S = 1.0
"""How long an answer serves everybody who asks: many questions cost what one a second does."""
OK, FAILED, UNKNOWN, DEGRADED, DRAINING = "ok", "failed", "unknown", "degraded", "draining"
_HARMLESS = (OK, DEGRADED)
_GROUP = "health"
"""A group of the channel layer that nobody joins."""
_NOT_STORED = (b"cache-control", b"no-store")

Results = dict[str, str]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Check:
    """Asks the same thing at most once a second, never twice at once, and answers within 2 s.

    What does not answer in time is left to end by itself; until then the check has failed.
    """

    def __init__(self, ask: Callable[[], Awaitable[Results]], failed: Results) -> None:
        """`failed`: what is said when `ask` raises or does not answer."""
        self._ask = ask
        self._failed = failed
        self._results: Results | None = None
        self._asking: asyncio.Future[Results] | None = None
        self._asked_at = -KEPT_S

    async def results(self) -> Results:
        loop = asyncio.get_running_loop()
        if self._asking is None and loop.time() - self._asked_at >= KEPT_S:
            self._asked_at = loop.time()
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(self._take)
        if self._asking is not None:
            done, _ = await asyncio.wait(
                {self._asking}, timeout=max(0.0, self._asked_at + ANSWER_S - loop.time())
            )
            if not done:
                return self._failed
        return self._results or self._failed

    def _take(self, asked: asyncio.Future[Results]) -> None:
        self._asking = None
        if asked.cancelled():
            return
        error = asked.exception()
        if error is not None and self._results is not self._failed:
            log.warning("health check failed", checks=sorted(self._failed), error=describe_error(error))
        self._results = self._failed if error is not None else asked.result()

    async def close(self) -> None:
        """Give up what is still being asked."""
        # More than once: redis-py loses a cancellation that meets it while it connects.
        while (asking := self._asking) is not None:
            asking.cancel()
            await asyncio.wait({asking}, timeout=0.5)


class Health:
    """The ASGI application of :data:`LIVE_PATH` and :data:`READY_PATH`. For one event loop."""

    def __init__(self) -> None:
        self._checks = (
            Check(_ask_database, {"database": FAILED, "durability": UNKNOWN, "migrations": UNKNOWN}),
            # Messages flow without it, only later: the sweep finds them.
            Check(_ask_channel_layer, {"channelLayer": DEGRADED}),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        if scope["method"] not in ("GET", "HEAD"):
            await send_error(send, ErrorCode.METHOD_NOT_ALLOWED, (b"allow", b"GET, HEAD"))
        elif scope["path"] == LIVE_PATH:
            await send_json(send, 200, {"status": "live"}, _NOT_STORED)
        else:
            results = await self.results(is_draining=DRAINING_EXTENSION in scope.get("extensions", {}))
            is_ready = all(result in _HARMLESS for result in results.values())
            body = {
                "status": "ready" if is_ready else "unready",
                "checks": results,
                "warnings": notices.given(),
            }
            await send_json(send, 200 if is_ready else 503, body, _NOT_STORED)

    async def results(self, *, is_draining: bool) -> Results:
        """Every check by its name: ``ok``, ``degraded`` (it serves), ``failed``, ``unknown`` or ``draining``."""
        results = {"server": DRAINING if is_draining else OK}
        for found in await asyncio.gather(*(check.results() for check in self._checks)):
            results |= found
        return results

    async def close(self) -> None:
        for check in self._checks:
            await check.close()


async def _ask_database() -> Results:
    return await run_in_database_thread(_look_at_database)


def _look_at_database() -> Results:
    return {
        "database": OK,
        "durability": FAILED if checks.forgetful_settings() else OK,
        "migrations": OK if checks.is_migrated() else FAILED,
    }


async def _ask_channel_layer() -> Results:
    await get_channel_layer().group_send(_GROUP, {"type": "health"})
    return {"channelLayer": OK}
