"""A relay as the Channels tutorial teaches: a consumer a socket, a group a user, the stock Redis channel layer.

Source: Channels documentation, "Tutorial Part 3: Rewrite Chat Server as
Asynchronous", with MessagePack in place of JSON and the ack that this wire has.
"""

from __future__ import annotations

import os
import time
from typing import Any

import django
import msgpack
from django.conf import settings

from tests.load.relays.events import reply_to_connect

settings.configure(
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["REDIS_URL"]]},
        }
    }
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402 - it reads the settings


class RelayConsumer(AsyncWebsocketConsumer):  # type: ignore[misc] # channels carries no types
    """One socket."""

    group: str | None = None

    async def disconnect(self, _code: int) -> None:
        if self.group is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, bytes_data: bytes) -> None:
        frame = msgpack.unpackb(bytes_data)
        if frame["type"] == "sendMessage":
            await self.relay(frame["payload"])
        else:
            user_id = frame["payload"]["sessionToken"]
            self.group = f"user_{user_id}"
            await self.channel_layer.group_add(self.group, self.channel_name)
            await self.send(bytes_data=reply_to_connect(user_id))

    async def relay(self, message: dict[str, Any]) -> None:
        await self.channel_layer.group_send(
            f"user_{message['to']}", {"type": "chat.message", "message": message}
        )
        ack = {"messageId": message["id"], "status": "delivered", "timestamp": int(time.time())}
        await self.send(bytes_data=msgpack.packb({"type": "ack", "payload": ack}))

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(bytes_data=msgpack.packb({"type": "message", "payload": event["message"]}))


application = RelayConsumer.as_asgi()
