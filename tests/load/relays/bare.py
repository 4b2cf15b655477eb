"""The least that a relay on this server can do: decode, hand to the local peer, ack.

No storage, no checks, no Channels: events are read in a plain loop.
"""

from __future__ import annotations

import time
from typing import Any

import msgpack

from tests.load.relays.events import Receive, Scope, Send, reply_to_connect

_peers: dict[str, Send] = {}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one socket."""
    if scope["type"] != "websocket":
        raise ValueError("this relay serves WebSockets alone")
    user_id: str | None = None
    try:
        while True:
            event = await receive()
            match event["type"]:
                case "websocket.receive":
                    frame: dict[str, Any] = msgpack.unpackb(event["bytes"])
                    if frame["type"] == "sendMessage":
                        await _relay(frame["payload"], send)
                    else:
                        user_id = frame["payload"]["sessionToken"]
                        _peers[user_id] = send
                        await send({"type": "websocket.send", "bytes": reply_to_connect(user_id)})
                case "websocket.connect":
                    await send({"type": "websocket.accept"})
                case "websocket.disconnect":
                    return
    finally:
        if user_id is not None:
            _peers.pop(user_id, None)


async def _relay(message: dict[str, Any], send: Send) -> None:
    peer = _peers.get(message["to"])
    if peer is not None:
        frame = msgpack.packb({"type": "message", "payload": message})
        await peer({"type": "websocket.send", "bytes": frame})
    ack = {
        "messageId": message["id"],
        "status": "delivered" if peer else "queued",
        "timestamp": int(time.time()),
    }
    await send({"type": "websocket.send", "bytes": msgpack.packb({"type": "ack", "payload": ack})})
