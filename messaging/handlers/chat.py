"""`sendMessage` and `received`: the traffic itself."""

from __future__ import annotations

import asyncio
import time

from accounts.judgement import get_policy, judge
from accounts.policy import SendingFacts
from messaging.protocol import messages
from messaging.session import SocketSession


def send_message(socket: SocketSession, payload: messages.ChatMessage) -> asyncio.Future[messages.Ack]:
    facts = SendingFacts(time.time(), socket.connection.account, payload.ids.recipient, len(payload.content))
    per_hour = judge(get_policy().may_send, facts)
    return socket.node.relay.send(socket.user_id, payload, per_hour)


def received(socket: SocketSession, payload: messages.Received) -> None:
    socket.connection.received(payload.message_ids)
