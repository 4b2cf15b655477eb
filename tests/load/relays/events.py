"""What both relays share: the shapes of ASGI, and the reply to `connect`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgpack

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def reply_to_connect(user_id: str) -> bytes:
    payload = {"userId": user_id, "username": "somebody", "displayName": "Somebody", "expires": 0}
    reply: bytes = msgpack.packb({"type": "connectSuccess", "payload": payload})
    return reply
