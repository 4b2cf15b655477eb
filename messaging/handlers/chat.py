"""`sendMessage` and `received`: the traffic itself."""

from __future__ import annotations

import asyncio

from construct_site.errors import ConstructError, ErrorCode
from messaging.protocol import messages
from messaging.session import SocketSession


def send_message(socket: SocketSession, payload: messages.ChatMessage) -> asyncio.Future[messages.Ack]:
    if socket.connection.is_pending:
        raise ConstructError(ErrorCode.ACCOUNT_PENDING)
    return socket.node.relay.send(socket.user_id, payload)


def received(socket: SocketSession, payload: messages.Received) -> None:
    socket.connection.received(payload.message_ids)
