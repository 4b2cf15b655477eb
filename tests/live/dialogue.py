"""What the tests say on a socket: frames by name, replies apart from messages, accounts to speak as."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import msgpack
from websockets.exceptions import ConnectionClosed

from messaging.client.encryption import Keys

Frame = dict[str, Any]
WAIT_S = 10.0
"""The server answers every request within 10 s (protocol contract, section 1)."""
POLL_S = 0.02
ABNORMAL_CLOSURE = 1006


@dataclass(frozen=True)
class Person:
    """An account: what it takes to log in as it."""

    username: str
    password: str
    user_id: str
    token: str


class Transport(Protocol):
    """An open WebSocket connection; `recv` raises ``ConnectionClosed`` at its end."""

    async def send(self, message: bytes | str, /) -> None: ...

    async def recv(self) -> bytes | str: ...

    async def close(self) -> None: ...


class Dialogue:
    """One socket. `private` collects what no log may hold."""

    def __init__(self, transport: Transport, private: set[str]) -> None:
        self.transport = transport
        self._private = private
        self._replies: deque[Frame] = deque()
        self._messages: deque[Frame] = deque()

    # Saying

    async def tell(self, kind: str, payload: Frame | None = None, **envelope: Any) -> None:
        """Send a frame and wait for nothing."""
        await self.tell_bytes(packed(kind, payload, **envelope))

    async def tell_bytes(self, frame: bytes | str) -> None:
        await self.transport.send(frame)

    async def ask(self, kind: str, payload: Frame | None = None, **envelope: Any) -> Frame:
        """Send a frame and return the next reply."""
        await self.tell(kind, payload, **envelope)
        return await self.reply()

    async def refusal(self, kind: str, payload: Frame | None = None, **envelope: Any) -> str:
        """Send a frame that must be refused; the code of the `error`."""
        return code_of(await self.ask(kind, payload, **envelope))

    # Hearing

    async def frame(self, within_s: float = WAIT_S) -> Frame:
        """The next frame of any kind, as it comes; do not mix with :meth:`reply` and :meth:`message`."""
        async with asyncio.timeout(within_s):
            received = await self.transport.recv()
        assert isinstance(received, bytes), "the server sends binary frames"
        frame: Frame = msgpack.unpackb(received)
        return frame

    async def reply(self) -> Frame:
        """The next frame that is no `message`."""
        while not self._replies:
            await self._sort()
        return self._replies.popleft()

    async def message(self) -> Frame:
        """The payload of the next `message`."""
        while not self._messages:
            await self._sort()
        payload: Frame = self._messages.popleft()["payload"]
        return payload

    async def messages(self, count: int) -> list[Frame]:
        return [await self.message() for _ in range(count)]

    async def ending(self, within_s: float = WAIT_S) -> tuple[list[Frame], int]:
        """Wait for the end, and for each frame before it: the frames that came until then, and the close code."""
        frames = [*self._replies, *self._messages]
        try:
            while True:
                frames.append(await self.frame(within_s))
        except ConnectionClosed as closed:
            return frames, closed.rcvd.code if closed.rcvd else ABNORMAL_CLOSURE

    async def _sort(self) -> None:
        frame = await self.frame()
        (self._messages if frame["type"] == "message" else self._replies).append(frame)

    # Being somebody

    async def register(self, **changes: Any) -> Person:
        """Register under a new name; logged in from then on."""
        wanted = registration(**changes)
        success = await self.ask("register", wanted)
        assert success["type"] == "registerSuccess", success
        payload = success["payload"]
        person = Person(wanted["username"], wanted["password"], payload["userId"], payload["sessionToken"])
        self._private |= {person.username, person.password, person.user_id, person.token}
        return person

    async def connect(self, person: Person, **extensions: Any) -> Frame:
        """Resume the person's session; the success payload."""
        success = await self.ask("connect", {"sessionToken": person.token, **extensions})
        assert success["type"] == "connectSuccess", success
        payload: Frame = success["payload"]
        return payload

    async def send(self, message: Frame) -> str:
        """Send a message that must be taken; the status of its ack."""
        self._private.add(message["content"][:64])
        ack = await self.ask("sendMessage", message)
        assert ack["type"] == "ack", ack
        assert ack["payload"]["messageId"] == message["id"]
        status: str = ack["payload"]["status"]
        return status

    async def send_to_absent(self, message: Frame) -> None:
        """Send a message, again until its ack says `queued`: by then the server knows that nobody is there."""
        await self._send_until("queued", message)

    async def send_to_present(self, message: Frame) -> None:
        """Send a message, again until its ack says `delivered`: a socket that came just now first reads its mailbox."""
        await self._send_until("delivered", message)

    async def _send_until(self, status: str, message: Frame) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self.send(message) != status:  # noqa: ASYNC110 - the server tells only who asks
                await asyncio.sleep(POLL_S)

    async def finish(self) -> None:
        """Wait until the server has taken in all that was sent on this socket before."""
        answer = await self.ask("searchUsers", {"query": ""})
        assert answer == {"type": "searchResults", "payload": {"users": []}}

    async def close(self) -> None:
        await self.transport.close()


def packed(kind: str, payload: Frame | None = None, **envelope: Any) -> bytes:
    """The bytes of a client's frame."""
    frame: bytes = msgpack.packb({"type": kind, "payload": payload or {}, **envelope})
    return frame


def code_of(frame: Frame) -> str:
    """The code of an `error` frame."""
    assert frame["type"] == "error", frame
    code: str = frame["payload"]["code"]
    return code


def codes_of(frames: Iterable[Frame]) -> list[str]:
    return [code_of(frame) for frame in frames]


def new_username() -> str:
    return f"live-{secrets.token_hex(8)}"


def registration(**changes: Any) -> Frame:
    """The payload of a registration under a new name."""
    payload = {
        "username": new_username(),
        "password": secrets.token_urlsafe(16),
        "publicKey": Keys.generate().bundle(),
    }
    return payload | changes


def chat_message(sender: Person, recipient: Person, *, size: int = 240, **changes: Any) -> Frame:
    """A new message; `size` in bytes before base64."""
    return {
        "id": str(uuid4()),
        "from": sender.user_id,
        "to": recipient.user_id,
        "ephemeralPublicKey": secrets.token_bytes(32),
        "messageNumber": 1,
        "content": base64.b64encode(secrets.token_bytes(size)).decode(),
        "timestamp": int(time.time()),
    } | changes


def chat_messages(sender: Person, recipient: Person, count: int, *, size: int = 240) -> list[Frame]:
    return [
        chat_message(sender, recipient, size=size, messageNumber=number) for number in range(1, count + 1)
    ]
