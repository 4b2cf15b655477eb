"""Messages for people who are away, and how fast they get them when they come."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.load import frames
from tests.load.client import Sockets
from tests.load.commands.crowds import AT_ONCE, Person, Seat, open_all
from tests.load.socket import LoadSocket

FILL_S = 600.0
DRAIN_S = 300.0


@dataclass(frozen=True)
class Share:
    """So many messages of a sender, by its place in the crowd, to a recipient."""

    sender: int
    sender_id: str
    recipient_id: str
    count: int


@dataclass(frozen=True)
class Stored:
    """Numbers of the messages that were sent, and what came instead of acks."""

    numbers: range
    errors: Mapping[str, int]


@dataclass(frozen=True)
class Fill:
    """Have the senders of a crowd, opened by `OpenCrowd`, send each share; returns when all are acked."""

    crowd: str
    shares: Sequence[Share]
    in_flight: int = 16

    async def run(self, sockets: Sockets) -> Stored:
        first = sockets.next_number
        filling = _Filling(self.shares, sockets.crowds[self.crowd], first)
        for sender in range(len(filling.senders)):
            for _ in range(self.in_flight):
                filling.send_next(sender)
        async with asyncio.timeout(FILL_S):
            await filling.done
        sockets.next_number = first + filling.total
        return Stored(range(first, first + filling.total), filling.errors)


class _Filling:
    """Each sender's frames still to send, made when their turn comes."""

    def __init__(self, shares: Sequence[Share], senders: Sequence[LoadSocket], first: int) -> None:
        self.senders = senders
        self.total = sum(share.count for share in shares)
        self.errors: Counter[str] = Counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answered = 0
        self._queues: list[list[tuple[frames.MessageTemplate, int]]] = [[] for _ in senders]
        for share in shares:
            template = frames.MessageTemplate(share.sender_id, share.recipient_id)
            self._queues[share.sender] += [(template, number) for number in range(first, first + share.count)]
            first += share.count
        for number, queue in enumerate(self._queues):
            queue.reverse()
            senders[number].on_message = partial(self._on_reply, number)

    def send_next(self, sender: int) -> None:
        if self._queues[sender]:
            template, number = self._queues[sender].pop()
            self.senders[sender].send(template.frame(number))

    def _on_reply(self, sender: int, frame: bytes) -> None:
        if not frame.startswith(frames.ACK_PREFIX):
            self.errors[frames.describe(frame)] += 1
        self._answered += 1
        if self._answered == self.total:
            self.done.set_result(None)
        self.send_next(sender)


@dataclass(frozen=True)
class Drained:
    """Seconds from the first `connect` to the last message, and what went wrong."""

    seconds: float
    faults: Mapping[str, int]
    client_cpu_share: float


@dataclass(frozen=True)
class Drain:
    """Open a socket for each person; then, measured: `connect` on all of them, and take what waits."""

    port: int
    people: Sequence[Person]
    numbers: range
    """The messages that wait for these people, each for one of them."""
    share: int
    """So many consecutive numbers are one sender's to one person."""
    longest_s: float = DRAIN_S

    async def run(self, sockets: Sockets) -> Drained:
        opened = await open_all([Seat(self.port)] * len(self.people), AT_ONCE)
        sockets.crowds["drain"] = opened  # a failure leaves them to be closed
        intake = _Intake(self.numbers, self.share)
        begin, cpu_s = time.perf_counter(), time.process_time()
        for socket, person in zip(opened, self.people, strict=True):
            socket.on_message = intake.take
            socket.send(frames.connect_frame(person.token))
        try:
            async with asyncio.timeout(self.longest_s):
                await intake.done
        except TimeoutError:
            intake.faults["lost"] += intake.missing
        seconds = time.perf_counter() - begin
        return Drained(seconds, dict(intake.faults), (time.process_time() - cpu_s) / seconds)


class _Intake:
    """What arrived, on all sockets together."""

    def __init__(self, numbers: range, share: int) -> None:
        self.missing = len(numbers)
        self.faults: Counter[str] = Counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first = numbers.start
        self._has_arrived = bytearray(len(numbers))
        self._share = share
        self._newest = [-1] * (len(numbers) // share + 1)

    def take(self, frame: bytes) -> None:
        if not frame.startswith(frames.MESSAGE_PREFIX):
            if not frames.is_reply(frame, "connectSuccess"):
                self.faults[frames.describe(frame)] += 1
            return
        number = int(frame[frames.MESSAGE_NUMBER], 16) - self._first
        if self._has_arrived[number]:
            self.faults["duplicates"] += 1
            return
        self._has_arrived[number] = 1
        if number < self._newest[number // self._share]:
            self.faults["out of order"] += 1
        self._newest[number // self._share] = number
        self.missing -= 1
        if not self.missing:
            self.done.set_result(None)
