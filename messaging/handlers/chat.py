"""`sendMessage` and `received`: the traffic itself."""

from __future__ import annotations

from messaging.protocol import messages
from messaging.session import SocketSession


async def send_message(socket: SocketSession, payload: messages.ChatMessage) -> messages.Ack:
    return await socket.node.relay.send(socket.user_id, payload)


async def received(socket: SocketSession, payload: messages.Received) -> None:
    socket.connection.received(payload.message_ids)
