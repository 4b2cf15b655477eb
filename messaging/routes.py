"""The route table: client message → handler, and what must hold before it runs.

A table that does not fit the wire's messages fails at import.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from construct_site.errors import ErrorCode
from construct_site.limits import RateLimit
from messaging.handlers import chat, sessions, users
from messaging.protocol.messages import CLIENT_MESSAGES, ServerMessage
from messaging.session import SocketSession

Handler = Callable[[SocketSession, Any], Awaitable[ServerMessage] | None]
"""Gives the reply to come, or None where there is none. May raise at once."""


@dataclass(frozen=True, slots=True)
class Route:
    """What the consumer does with one client message."""

    handler: Handler
    needs_authentication: bool = True
    is_barrier: bool = False
    """Earlier requests of the socket finish first, later ones wait."""
    limit: RateLimit | None = None
    """Counted for the socket's user before the handler runs; services count the others themselves."""
    timeout_code: ErrorCode = ErrorCode.SERVER_ERROR
    """The answer when the handler takes too long."""


ROUTES: dict[str, Route] = {
    "register": Route(sessions.register, needs_authentication=False, is_barrier=True),
    "login": Route(sessions.login, needs_authentication=False, is_barrier=True),
    "connect": Route(sessions.connect, needs_authentication=False, is_barrier=True),
    "logout": Route(sessions.logout, needs_authentication=False, is_barrier=True),
    "searchUsers": Route(users.search_users, limit=RateLimit.SEARCHES, timeout_code=ErrorCode.SEARCH_FAILED),
    "getPublicKey": Route(users.get_public_key, limit=RateLimit.BUNDLES),
    "rotatePrekey": Route(users.rotate_prekey),
    "sendMessage": Route(chat.send_message, timeout_code=ErrorCode.QUEUE_FAILED),
    "received": Route(chat.received),
}

if ROUTES.keys() != CLIENT_MESSAGES.keys():
    raise ImportError(f"routes and messages differ: {sorted(ROUTES.keys() ^ CLIENT_MESSAGES.keys())}")
if unanswered := [
    name for name, route in ROUTES.items() if route.limit and not iscoroutinefunction(route.handler)
]:
    raise ImportError(f"limited, and answered at once or never: {unanswered}")
