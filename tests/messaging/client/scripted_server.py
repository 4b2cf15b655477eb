"""A WebSocket server on a real port whose every move the test makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

from messaging.protocol.codec import Request, decode_request, encode
from messaging.protocol.messages import (
    Ack,
    ChatMessage,
    Connect,
    ConnectSuccess,
    LoginSuccess,
    Received,
    ServerMessage,
)

USER_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
SENDER_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
WAIT_S = 10.0


class Peer:
    """The server's end of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    async def request(self) -> Request:
        """The client's next frame. Raises websockets' ``ConnectionClosed`` when there is none."""
        async with asyncio.timeout(WAIT_S):
            return decode_request(await self._socket.recv(decode=False))

    async def chat_message(self) -> ChatMessage:
        payload = (await self.request()).payload
        assert isinstance(payload, ChatMessage)
        return payload

    async def received(self) -> list[str]:
        payload = (await self.request()).payload
        assert isinstance(payload, Received)
        return payload.message_ids

    async def answer(self, message: ServerMessage) -> None:
        await self._socket.send(encode(message))

    async def acknowledge(self, message: ChatMessage) -> None:
        await self.answer(ack(message))

    async def let_resume(self, *, receipts: bool = True) -> None:
        """Expect the client to take up its session, and let it."""
        payload = (await self.request()).payload
        assert payload == Connect(session_token="t0k3n", receipts=receipts)
        await self.answer(connected(receipts=receipts))

    async def send_bytes(self, frame: bytes) -> None:
        await self._socket.send(frame)

    async def close(self, code: int) -> None:
        await self._socket.close(code)

    def cut(self) -> None:
        """End the connection as a failing network does."""
        self._socket.transport.abort()


class ScriptedServer:
    def __init__(self) -> None:
        self.url = ""
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def accept(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(WAIT_S):
            return await self._peers.get()

    def is_unvisited(self) -> bool:
        """Whether every connection so far was accepted by the test."""
        return self._peers.empty()

    async def take(self, socket: ServerConnection) -> None:
        self._peers.put_nowait(Peer(socket))
        await socket.wait_closed()


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    async with serve(server.take, "127.0.0.1", 0, close_timeout=0.5) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}"
        yield server


def logged_in(*, receipts: bool = True) -> LoginSuccess:
    return LoginSuccess(
        user_id=USER_ID,
        username="bob",
        display_name="Bob",
        session_token="t0k3n",
        expires=1_700_000_000,
        receipts=receipts,
    )


def connected(*, receipts: bool = True) -> ConnectSuccess:
    return ConnectSuccess(
        user_id=USER_ID, username="bob", display_name="Bob", expires=1_700_000_000, receipts=receipts
    )


def ack(message: ChatMessage) -> Ack:
    return Ack(message_id=message.id, status="queued", timestamp=1_700_000_000)


def chat_message(number: int, *, sender: str = SENDER_ID, recipient: str = USER_ID) -> ChatMessage:
    """The message with this number, the same at every call."""
    return ChatMessage(
        id=f"b1d54f2c-0a6e-4c1b-9d0e-{number:012x}",
        sender=sender,
        recipient=recipient,
        ephemeral_public_key=bytes(32),
        message_number=number,
        content="c2VhbGVk",
        timestamp=1_700_000_000,
    )
