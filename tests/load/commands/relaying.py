"""Sending messages between pairs of sockets, and counting what becomes of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.load import frames
from tests.load.client import Sockets
from tests.load.commands.crowds import AT_ONCE, Seat, ignore, open_all
from tests.load.socket import LoadSocket

POLL_S = 0.002


@dataclass(frozen=True)
class PairSeats:
    """A sender and its recipient, both people."""

    sender: Seat
    recipient: Seat


@dataclass(frozen=True)
class Relayed:
    """What became of the messages of one run. Rates are those of the measured time, counts those of the whole run."""

    seconds: float
    """Measured time, by the client's clock."""
    delivered_per_s: float
    acked_per_s: float
    sent: int
    acked: int
    delivered: int
    duplicates: int
    disordered: int
    """Messages that arrived before an earlier one of their sender."""
    errors: Mapping[str, int]
    """Frames that were not due, by type, and sockets that were closed."""
    received_s: Sequence[float] = field(repr=False)
    """Seconds from the moment a message was due to be sent until it was received; in the measured time, ascending."""
    acked_s: Sequence[float] = field(repr=False)
    """The same until its ack came."""
    client_cpu_share: float
    """Of one core, in the measured time."""

    @property
    def lost(self) -> int:
        return self.sent - self.delivered

    @property
    def faults(self) -> dict[str, int]:
        """What must not be: empty if every message was acked and arrived once and in order."""
        found = {
            "lost": self.lost,
            "not acked": self.sent - self.acked,
            "duplicates": self.duplicates,
            "out of order": self.disordered,
            **self.errors,
        }
        return {name: count for name, count in found.items() if count}


@dataclass(frozen=True)
class OpenPairs:
    """Open both sockets of each pair and keep them as a crowd: senders first, then recipients."""

    crowd: str
    pairs: Sequence[PairSeats]

    async def run(self, sockets: Sockets) -> None:
        seats = [pair.sender for pair in self.pairs] + [pair.recipient for pair in self.pairs]
        sockets.crowds[self.crowd] = await open_all(seats, AT_ONCE)


@dataclass(frozen=True)
class Relay:
    """Send between the pairs of a crowd, opened by :class:`OpenPairs`.

    Closed loop: each sender keeps `in_flight` messages unacked (`rate` is None). Open loop:
    `rate` messages a second, in turn by all senders, whatever becomes of them.
    """

    crowd: str
    pairs: Sequence[PairSeats]
    warm_up_s: float
    measured_s: float
    in_flight: int = 4
    rate: float | None = None
    awaits_delivery: bool = False
    """A sender's next message waits for the arrival of the one before, too."""
    settle_s: float = 10.0
    """Longest wait, after the last message was sent, for what is still on its way."""

    async def run(self, sockets: Sockets) -> Relayed:
        traffic = Traffic(self.pairs, sockets.crowds[self.crowd], sockets.next_number)
        traffic.awaits_delivery = self.awaits_delivery
        try:
            return await self._measure(traffic)
        finally:
            traffic.detach()
            sockets.next_number = traffic.next_number

    async def _measure(self, traffic: Traffic) -> Relayed:
        if self.rate is None:
            traffic.begin(self.in_flight)
            pacer = None
        else:
            pacer = asyncio.create_task(_send_at(self.rate, traffic))
        await asyncio.sleep(self.warm_up_s)
        traffic.is_measuring = True
        before = _Mark(traffic)
        await asyncio.sleep(self.measured_s)
        after = _Mark(traffic)
        traffic.is_measuring = traffic.is_sending = False
        if pacer is not None:
            await pacer
        await traffic.settle(self.settle_s)
        return traffic.figures(before, after)


class _Mark:
    """The counts at one moment."""

    def __init__(self, traffic: Traffic) -> None:
        self.at = time.perf_counter()
        self.cpu_s = time.process_time()
        self.acked = traffic.acked
        self.delivered = traffic.delivered


class Traffic:
    """Messages between pairs. All that happens to a message is told by its number."""

    def __init__(self, pairs: Sequence[PairSeats], sockets: Sequence[LoadSocket], first_number: int) -> None:
        count = len(pairs)
        self._senders, self._recipients = sockets[:count], sockets[count:]
        self._templates = [_template(pair) for pair in pairs]
        self._first = self.next_number = first_number
        self._newest_received = [-1] * count
        self._due_at: list[float] = []
        self._has_arrived = bytearray()
        self.acked = self.delivered = self.duplicates = self.disordered = 0
        self.errors: Counter[str] = Counter()
        self.received_s: list[float] = []
        self.acked_s: list[float] = []
        self.is_measuring = False
        self.is_sending = True
        self.awaits_delivery = False
        self._is_closed_loop = False
        for number in range(count):
            self._senders[number].on_message = partial(self._on_reply, number)
            self._recipients[number].on_message = partial(self._on_delivery, number)

    def begin(self, in_flight: int) -> None:
        """Have each sender send so many; each ack then brings another."""
        self._is_closed_loop = True
        for pair in range(len(self._senders)):
            for _ in range(in_flight):
                self.send(pair, time.perf_counter())

    @property
    def pairs(self) -> int:
        return len(self._senders)

    @property
    def sent(self) -> int:
        return len(self._due_at)

    def send(self, pair: int, due_at: float) -> None:
        frame = self._templates[pair].frame(self.next_number)
        self.next_number += 1
        self._due_at.append(due_at)
        self._has_arrived.append(0)
        self._senders[pair].send(frame)

    def _on_reply(self, pair: int, frame: bytes) -> None:
        if not frame.startswith(frames.ACK_PREFIX):
            self.errors[frames.describe(frame)] += 1
            return
        self.acked += 1
        if self.is_measuring:
            now = time.perf_counter()
            self.acked_s.append(now - self._due_at[int(frame[frames.ACK_NUMBER], 16) - self._first])
        if self._is_closed_loop and (not self.awaits_delivery or self.acked == self.delivered):
            self._send_next(pair)

    def _on_delivery(self, pair: int, frame: bytes) -> None:
        if not frame.startswith(frames.MESSAGE_PREFIX):
            self.errors[frames.describe(frame)] += 1
            return
        number = int(frame[frames.MESSAGE_NUMBER], 16) - self._first
        if number < 0 or self._has_arrived[number]:
            self.duplicates += 1
            return
        self._has_arrived[number] = 1
        self.delivered += 1
        if number < self._newest_received[pair]:
            self.disordered += 1
        self._newest_received[pair] = number
        if self.is_measuring:
            self.received_s.append(time.perf_counter() - self._due_at[number])
        if self.awaits_delivery and self.acked == self.delivered:
            self._send_next(pair)

    def _send_next(self, pair: int) -> None:
        if self.is_sending:
            self.send(pair, time.perf_counter())

    async def settle(self, longest_s: float) -> None:
        """Wait for what is on its way."""
        deadline = time.perf_counter() + longest_s
        while min(self.acked, self.delivered) < self.sent and time.perf_counter() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)

    def detach(self) -> None:
        """Count no more."""
        for socket in (*self._senders, *self._recipients):
            socket.on_message = ignore

    def figures(self, before: _Mark, after: _Mark) -> Relayed:
        seconds = after.at - before.at
        closed = sum(socket.closed.done() for socket in (*self._senders, *self._recipients))
        return Relayed(
            seconds=seconds,
            delivered_per_s=(after.delivered - before.delivered) / seconds,
            acked_per_s=(after.acked - before.acked) / seconds,
            sent=self.sent,
            acked=self.acked,
            delivered=self.delivered,
            duplicates=self.duplicates,
            disordered=self.disordered,
            errors={**self.errors, **({"sockets closed": closed} if closed else {})},
            received_s=sorted(self.received_s),
            acked_s=sorted(self.acked_s),
            client_cpu_share=(after.cpu_s - before.cpu_s) / seconds,
        )


async def _send_at(rate: float, traffic: Traffic) -> None:
    """Send `rate` a second, in turn by all pairs. A late one counts from when it was due."""
    begin, number = time.perf_counter(), 0
    while traffic.is_sending:
        due = int((time.perf_counter() - begin) * rate) + 1
        while number < due:
            traffic.send(number % traffic.pairs, begin + number / rate)
            number += 1
        # Not a turn of the loop for each message: the client would take the processor from the server.
        await asyncio.sleep(max(POLL_S / 2, begin + number / rate - time.perf_counter()))


def _template(pair: PairSeats) -> frames.MessageTemplate:
    if pair.sender.person is None or pair.recipient.person is None:
        raise ValueError("messages go between people")
    return frames.MessageTemplate(pair.sender.person.user_id, pair.recipient.person.user_id)
