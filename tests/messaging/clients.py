"""Clients that speak to the consumer itself, without a server between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from channels.testing import WebsocketCommunicator

from construct_site.asgi import application
from keys.bundle import encode_bundle
from messaging.protocol import codec, messages
from messaging.protocol.messages import ClientMessage, Error, ServerMessage
from tests.keys.owners import KeyOwner
from tests.messaging.doubles import PATIENCE_S

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Closed:
    """The server closed the socket."""

    code: int


class Client:
    """One socket. `has_pongs`: as on a server with the ping hook; pings are answered on request."""

    def __init__(self, *, has_pongs: bool = False, address: str = "192.0.2.7") -> None:
        self._communicator = WebsocketCommunicator(application, "/")
        self._communicator.scope["client"] = (address, 50_000)
        if has_pongs:
            self._communicator.scope["extensions"] = {"websocket.ping": {}}
        self.pings: list[bytes] = []

    @property
    def app(self) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._communicator.future
        return task

    async def open(self) -> Client:
        is_accepted, _ = await self._communicator.connect(timeout=PATIENCE_S)
        assert is_accepted
        return self

    async def end(self) -> None:
        """The client goes away."""
        if not self.app.done():
            await self._communicator.disconnect(timeout=PATIENCE_S)

    async def send(self, payload: ClientMessage, request_id: str | None = None) -> None:
        await self.send_bytes(codec.encode_request(payload, request_id))

    async def send_bytes(self, frame: bytes) -> None:
        await self._communicator.send_input({"type": "websocket.receive", "bytes": frame})

    async def send_text(self, text: str) -> None:
        await self._communicator.send_input({"type": "websocket.receive", "text": text})

    async def pong(self, payload: bytes) -> None:
        await self._communicator.send_input({"type": "websocket.pong", "payload": payload})

    async def receive(self) -> ServerMessage | Closed:
        """What the server says next; its pings are kept."""
        while True:
            event: dict[str, Any] = await self._communicator.receive_output(timeout=PATIENCE_S)
            match event["type"]:
                case "websocket.send":
                    return codec.decode_reply(event["bytes"])
                case "websocket.close":
                    return Closed(event["code"])
                case "websocket.ping":
                    self.pings.append(event["payload"])

    async def request(self, payload: ClientMessage, request_id: str | None = None) -> Any:
        """Send, and receive the next frame: a test reads the fields of the message that it expects."""
        await self.send(payload, request_id)
        return await self.receive()

    async def error_of(self, payload: ClientMessage) -> str:
        reply = await self.request(payload)
        assert isinstance(reply, Error)
        return reply.code

    async def is_silent(self) -> bool:
        """Whether nothing comes, though the server had time to say something."""
        silent: bool = await self._communicator.receive_nothing()
        return silent

    async def register(self, username: str, *, receipts: bool = False) -> messages.RegisterSuccess:
        success = await self.request(register_request(username, receipts=receipts))
        assert isinstance(success, messages.RegisterSuccess)
        return success


def register_request(username: str, *, receipts: bool = False) -> messages.Register:
    return messages.Register(
        username=username,
        password=PASSWORD,
        public_key=encode_bundle(KeyOwner().bundle()),
        receipts=receipts,
    )


def login_request(username: str, password: str = PASSWORD) -> messages.Login:
    return messages.Login(username=username, password=password)
