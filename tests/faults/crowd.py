"""Clients that behave as the protocol asks: they reconnect after any loss and send again what was not acked.

They drop nothing silently. What they sent, what was acked and what they were
handed goes into the ledger; error codes, close codes and the slowest reply are
kept beside it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgpack

from construct_site.errors import ERRORS, ErrorCode
from messaging.client.backoff import delay_s
from tests.faults.ledger import Handed, Ledger, Sent, Verdict
from tests.live.dialogue import Person, chat_message, packed
from tests.load.socket import LoadSocket

Where = Callable[[int], int]
"""The port for a client's n-th attempt to connect. Raises ``OSError`` while there is no server."""

HANDSHAKE_S = 10.0
BACKOFF_MAX_S = 1.0
RETRY_S = 0.2
"""Pause before a message that met an error is sent again."""
UNACKED_MAX = 32
"""A client that has so many messages without an ack writes no new ones."""
TICK_S = 0.02
POLL_S = 0.05
LATE_S = 1.0


async def until(condition: Callable[[], bool], within_s: float) -> None:
    """Wait until it holds. Raises ``TimeoutError``."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes too
            await asyncio.sleep(POLL_S)


def fingerprint(content: str) -> str:
    """What the ledger keeps of a content."""
    return blake2b(content.encode(), digest_size=8).hexdigest()


class Device:
    """One client of an account. :meth:`run` keeps it connected until it is cancelled or its session ends."""

    def __init__(
        self,
        person: Person,
        name: str,
        ledger: Ledger,
        where: Where,
        *,
        receipts: bool = False,
        repeats: int = 0,
        rest_s: float = 0.0,
    ) -> None:
        """`repeats`: after each reconnect it sends so many of its acked messages again as well, like a client
        whose note of the acks was lost. `rest_s`: for so long it reads nothing after each message."""
        self.person = person
        self.name = name
        self.errors: Counter[str] = Counter()
        self.close_codes: Counter[int | None] = Counter()
        """How its connections ended; ``None``: without a close frame."""
        self.slowest_reply_s = 0.0
        self.sent_again = 0
        """Messages that were sent again for want of an ack."""
        self.repeated = 0
        """Messages that were sent again in spite of an ack."""
        self.logins = 0
        self.has_expired = False
        """The server said `sessionExpired`: the device stays away."""
        self.is_connected = False
        """Logged in, as far as it knows."""
        self._ledger = ledger
        self._where = where
        self._receipts = {"receipts": True} if receipts else {}
        self._token: str | None = person.token
        self._socket: LoadSocket | None = None
        self._attempts = 0
        self._failures = 0
        self._connection = 0
        self._unacked: dict[str, bytes] = {}
        self._acked: deque[bytes] = deque(maxlen=repeats)
        self._asked_at: deque[float] = deque()
        self._to_confirm: list[str] = []
        self._rest_s = rest_s
        self._tiredness_s = 0.0
        ledger.add_device(name, person.user_id)

    @property
    def unacked(self) -> int:
        return len(self._unacked)

    # Sending

    def send(self, recipient: Person, *, size: int = 240) -> str:
        """Write a message now, or as soon as there is a connection; its id. `size` in bytes before base64."""
        message = chat_message(self.person, recipient, size=size)
        sent = Sent(self.person.user_id, recipient.user_id, fingerprint(message["content"]))
        self._ledger.send(message["id"], sent)
        self._unacked[message["id"]] = packed("sendMessage", message)
        self._write(self._unacked[message["id"]])
        return str(message["id"])

    def repeat_acked(self) -> None:
        """Send acked messages again, as many as are kept."""
        for frame in self._acked:
            self.repeated += 1
            self._write(frame)

    def drop(self) -> None:
        """Cut the connection without a word; the device comes back."""
        if self._socket is not None:
            self._socket.close()

    def freeze(self) -> None:
        """Read nothing any more, on this connection; not even its end is noticed."""
        if self._socket is not None:
            self._socket.pause()

    def thaw(self) -> None:
        """Read on."""
        if self._socket is not None:
            self._socket.resume()

    def log_out(self) -> None:
        """End the session, if it is logged in; the device comes back with its password."""
        if self.is_connected:
            self._ask(packed("logout", {"sessionToken": self._token}))
            self._token = None
            self.is_connected = False

    def _write(self, frame: bytes) -> None:
        if self.is_connected:
            self._ask(frame)

    def _ask(self, frame: bytes) -> None:
        if self._socket is not None:
            self._asked_at.append(time.monotonic())
            self._socket.send(frame)

    def _send_again(self, message_id: str) -> None:
        if frame := self._unacked.get(message_id):
            self.sent_again += self.is_connected
            self._write(frame)

    # Connecting

    async def run(self) -> None:
        while not self.has_expired:
            try:
                await self._connect()
            except (OSError, TimeoutError):
                self._failures += 1
            await asyncio.sleep(min(delay_s(self._failures, random.random()), BACKOFF_MAX_S))

    async def _connect(self) -> None:
        """One connection, from the handshake to its end."""
        self._attempts += 1
        port = self._where(self._attempts - 1)
        async with asyncio.timeout(HANDSHAKE_S):
            socket = await LoadSocket.open("127.0.0.1", port, self._on_message)
        self._socket = socket
        self._connection += 1
        self._asked_at.clear()
        try:
            self._ask(self._greeting())
            self.close_codes[await socket.closed] += 1
        finally:
            self.is_connected = False
            self._socket = None
            socket.close()

    def _greeting(self) -> bytes:
        if self._token is not None:
            return packed("connect", {"sessionToken": self._token, **self._receipts})
        person = self.person
        return packed("login", {"username": person.username, "password": person.password, **self._receipts})

    # Reading

    def _on_message(self, data: bytes) -> None:
        frame = msgpack.unpackb(data)
        payload: dict[str, Any] = frame.get("payload", {})
        if frame["type"] == "message":
            self._on_handed(payload)
            return
        if frame["type"] == "sessionExpired" or payload.get("code") == "ACCOUNT_SUSPENDED":
            self.has_expired = True
            return
        self._note_reply()
        match frame["type"]:
            case "ack":
                self._on_ack(payload["messageId"])
            case "connectSuccess" | "loginSuccess":
                self._token = payload.get("sessionToken", self._token)
                self.logins += frame["type"] == "loginSuccess"
                self._begin()
            case "error":
                self._on_error(payload)
            case _:  # logoutSuccess
                self.drop()

    def _note_reply(self) -> None:
        if self._asked_at:
            self.slowest_reply_s = max(self.slowest_reply_s, time.monotonic() - self._asked_at.popleft())

    def _on_ack(self, message_id: str) -> None:
        self._ledger.ack(message_id)
        if frame := self._unacked.pop(message_id, None):
            self._acked.append(frame)

    def _on_handed(self, payload: dict[str, Any]) -> None:
        self._ledger.hand(Handed(self.name, self._connection, payload["id"], fingerprint(payload["content"])))
        if self._rest_s:
            if not self._tiredness_s:
                asyncio.get_running_loop().call_soon(self._rest)
            self._tiredness_s += self._rest_s
        if self._receipts:
            if not self._to_confirm:
                asyncio.get_running_loop().call_soon(self._confirm)
            self._to_confirm.append(payload["id"])

    def _rest(self) -> None:
        if self._socket is not None:
            self._socket.pause()
            asyncio.get_running_loop().call_later(self._tiredness_s, self._socket.resume)
        self._tiredness_s = 0.0

    def _confirm(self) -> None:
        ids, self._to_confirm = self._to_confirm, []
        if self._socket is not None and self.is_connected:
            self._socket.send(packed("received", {"messageIds": ids}))

    def _begin(self) -> None:
        self._failures = 0
        self.is_connected = True
        self.repeat_acked()
        for message_id in list(self._unacked):
            self._send_again(message_id)

    def _on_error(self, payload: dict[str, Any]) -> None:
        self.errors[payload["code"]] += 1
        message_id = payload.get("requestId")
        if message_id is None:
            # Of the greeting, or the reason of a close: come back later.
            self._failures += 1
            self.drop()
        elif ERRORS[ErrorCode(payload["code"])].may_retry:
            self._ledger.doubt(message_id)
            asyncio.get_running_loop().call_later(RETRY_S, self._send_again, message_id)


@dataclass
class Crowd:
    """Devices that write to each other's accounts."""

    ledger: Ledger = field(default_factory=Ledger)
    devices: list[Device] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def add(self, person: Person, where: Where, **habits: Any) -> Device:
        """One more device of an account, connecting from now on. `habits` are those of :class:`Device`."""
        device = Device(person, f"device {len(self.devices)}", self.ledger, where, **habits)
        self.devices.append(device)
        self._tasks.append(asyncio.create_task(device.run()))
        return device

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # One turn, in which the sockets that were cut leave the event loop.
        await asyncio.sleep(0)

    # Talking

    @asynccontextmanager
    async def talking(
        self, per_s: float, senders: Sequence[Device] = (), recipients: Sequence[Person] = ()
    ) -> AsyncIterator[None]:
        """Within the context devices write to random others: `per_s` messages a second together, in turn.

        Everybody writes to everybody, unless `senders` and `recipients` say who to whom.
        """
        people = recipients or [each.person for each in self.devices]
        talk = asyncio.create_task(self._talk(per_s, senders or self.devices, people))
        try:
            yield
        finally:
            talk.cancel()
            with suppress(asyncio.CancelledError):
                await talk

    async def _talk(self, per_s: float, senders: Sequence[Device], people: Sequence[Person]) -> None:
        begin, turns = time.monotonic(), 0
        while True:
            while turns < (time.monotonic() - begin) * per_s:
                sender, turns = senders[turns % len(senders)], turns + 1
                if sender.unacked < UNACKED_MAX:
                    sender.send(random.choice([each for each in people if each != sender.person]))
            await asyncio.sleep(TICK_S)

    # The end

    async def connected(self, within_s: float = 30.0) -> None:
        """Wait until every device is logged in."""
        await until(lambda: all(each.is_connected for each in self.devices if not each.has_expired), within_s)

    async def settle(self, within_s: float = 60.0) -> Verdict:
        """Wait until everything that was sent is acked and delivered, or the time is over; then judge."""
        with suppress(TimeoutError):
            await until(lambda: self.ledger.is_settled, within_s)
            # What would come twice comes now.
            await asyncio.sleep(LATE_S)
        return self.ledger.verdict()

    @property
    def errors(self) -> Counter[str]:
        return sum((each.errors for each in self.devices), Counter())

    @property
    def close_codes(self) -> Counter[int | None]:
        return sum((each.close_codes for each in self.devices), Counter())

    @property
    def slowest_reply_s(self) -> float:
        return max(each.slowest_reply_s for each in self.devices)

    @property
    def sent_again(self) -> int:
        return sum(each.sent_again for each in self.devices)
