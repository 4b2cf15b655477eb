"""The load client tells what became of every message, and finds each fault of a server that has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.load.client import CommandFailed, Sockets, load_client
from tests.load.commands.crowds import CloseCrowd, OpenCrowd, Person, Seat
from tests.load.commands.draining import Drain, Fill, Share
from tests.load.commands.relaying import OpenPairs, PairSeats, Relay, Relayed
from tests.load.relays.events import reply_to_connect
from tests.load.stage import strangers

Frame = dict[str, Any]
Deliveries = Callable[[int, Frame], list[Frame]]
"""What the recipient is sent for the message of this number, counted from 0."""


class FaultyRelay:
    """A relay in this process: keeps what cannot be delivered, and delivers as `deliveries` says."""

    def __init__(self, deliveries: Deliveries) -> None:
        self.deliveries = deliveries
        self.reply_type = "ack"
        self._taken = 0
        self._peers: dict[str, ServerConnection] = {}
        self._waiting: dict[str, list[Frame]] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        async with serve(self._serve, "127.0.0.1", 0, compression=None) as server:
            port: int = next(iter(server.sockets)).getsockname()[1]
            yield port

    async def _serve(self, socket: ServerConnection) -> None:
        try:
            async for data in socket:
                assert isinstance(data, bytes)
                frame = msgpack.unpackb(data)
                if frame["type"] == "connect":
                    await self._connect(socket, frame["payload"]["sessionToken"])
                else:
                    await self._relay(socket, frame["payload"])
        except ConnectionClosed:
            pass

    async def _connect(self, socket: ServerConnection, user_id: str) -> None:
        self._peers[user_id] = socket
        await socket.send(reply_to_connect(user_id))
        for message in self._waiting.pop(user_id, []):
            await socket.send(_encoded("message", message))

    async def _relay(self, socket: ServerConnection, message: Frame) -> None:
        number, self._taken = self._taken, self._taken + 1
        for each in self.deliveries(number, message):
            if peer := self._peers.get(each["to"]):
                await peer.send(_encoded("message", each))
            else:
                self._waiting.setdefault(each["to"], []).append(each)
        ack = {"messageId": message["id"], "status": "delivered", "timestamp": 1}
        refusal = {"code": "SERVER_BUSY", "message": "Later."}
        await socket.send(_encoded(self.reply_type, ack if self.reply_type == "ack" else refusal))


def _encoded(name: str, payload: Frame) -> bytes:
    encoded: bytes = msgpack.packb({"type": name, "payload": payload})
    return encoded


def faithfully(_number: int, message: Frame) -> list[Frame]:
    return [message]


def losing_every_fourth(number: int, message: Frame) -> list[Frame]:
    return [] if number % 4 == 3 else [message]


def doubling_every_fourth(number: int, message: Frame) -> list[Frame]:
    return [message, message] if number % 4 == 3 else [message]


class Swapping:
    """Holds every other message back until the next one has gone."""

    def __init__(self) -> None:
        self._held: list[Frame] = []

    def __call__(self, _number: int, message: Frame) -> list[Frame]:
        if self._held:
            return [message, self._held.pop()]
        self._held.append(message)
        return []


async def relayed(relay: FaultyRelay, **changes: Any) -> Relayed:
    sockets = Sockets()
    async with relay.serving() as port:
        sender, recipient = (Seat(port, person) for person in strangers(2))
        pairs = [PairSeats(sender, recipient)]
        await OpenPairs("pair", pairs).run(sockets)
        options: dict[str, Any] = {"warm_up_s": 0.05, "measured_s": 0.2, "settle_s": 0.3, **changes}
        try:
            return await Relay("pair", pairs, **options).run(sockets)
        finally:
            sockets.close("pair")


async def test_a_faithful_relay_has_no_faults() -> None:
    found = await relayed(FaultyRelay(faithfully))
    assert found.faults == {}
    assert found.sent == found.acked == found.delivered > 0
    assert found.delivered_per_s > 0
    assert found.received_s == sorted(found.received_s)


async def test_lost_messages_are_counted() -> None:
    found = await relayed(FaultyRelay(losing_every_fourth))
    assert found.faults == {"lost": found.sent // 4}
    assert found.acked == found.sent


async def test_messages_that_arrive_twice_are_counted_once() -> None:
    found = await relayed(FaultyRelay(doubling_every_fourth))
    assert found.faults == {"duplicates": found.sent // 4}
    assert found.delivered == found.sent


async def test_messages_out_of_order_are_counted() -> None:
    found = await relayed(FaultyRelay(Swapping()))
    assert found.faults["out of order"] == found.delivered // 2 > 0


async def test_refusals_are_counted_by_their_code_and_are_no_acks() -> None:
    relay = FaultyRelay(faithfully)
    relay.reply_type = "error"
    found = await relayed(relay, in_flight=3)
    assert found.errors == {"Error SERVER_BUSY": 3}
    assert found.faults == {"Error SERVER_BUSY": 3, "not acked": 3}


async def test_at_a_fixed_rate_messages_go_out_whatever_becomes_of_them() -> None:
    relay = FaultyRelay(faithfully)
    relay.reply_type = "error"
    found = await relayed(relay, rate=200.0)
    assert found.sent >= 30
    assert found.acked == 0


async def test_one_message_at_a_time_waits_for_the_arrival_too() -> None:
    found = await relayed(FaultyRelay(losing_every_fourth), in_flight=1, awaits_delivery=True)
    assert (found.sent, found.acked, found.delivered) == (4, 4, 3)


async def filled_and_drained(relay: FaultyRelay) -> tuple[dict[str, int], dict[str, int]]:
    sockets = Sockets()
    senders, recipients = strangers(2), strangers(2)
    shares = [
        Share(number, sender.user_id, recipient.user_id, 10)
        for number, sender in enumerate(senders)
        for recipient in recipients
    ]
    async with relay.serving() as port:
        await OpenCrowd("senders", [Seat(port, sender) for sender in senders]).run(sockets)
        stored = await Fill("senders", shares, in_flight=3).run(sockets)
        assert len(stored.numbers) == 40
        drained = await Drain(port, recipients, stored.numbers, share=10, longest_s=0.5).run(sockets)
        for crowd in ("senders", "drain"):
            sockets.close(crowd)
    return dict(stored.errors), dict(drained.faults)


@pytest.mark.parametrize(
    ("deliveries", "faults"),
    [
        (faithfully, {}),
        (losing_every_fourth, {"lost": 10}),
        (doubling_every_fourth, {"duplicates": 10}),
    ],
)
async def test_a_drain_knows_what_was_stored(deliveries: Deliveries, faults: dict[str, int]) -> None:
    assert await filled_and_drained(FaultyRelay(deliveries)) == ({}, faults)


async def test_refused_messages_do_not_count_as_stored() -> None:
    relay = FaultyRelay(faithfully)
    relay.reply_type = "error"
    errors, _ = await filled_and_drained(relay)
    assert errors == {"Error SERVER_BUSY": 40}


async def test_a_crowd_knows_how_many_of_it_the_server_closed() -> None:
    sockets = Sockets()
    async with FaultyRelay(faithfully).serving() as port:
        assert await OpenCrowd("crowd", [Seat(port)] * 3).run(sockets) > 0
        assert await CloseCrowd("nobody").run(sockets) == 0
    # The server ended.
    await asyncio.sleep(0.1)
    assert await CloseCrowd("crowd").run(sockets) == 3


async def test_a_crowd_that_is_not_let_in_is_an_error() -> None:
    relay = FaultyRelay(faithfully)
    async with relay.serving() as port:
        seats = [Seat(port, Person("somebody", "token")), Seat(1)]
        with pytest.raises(ConnectionError):
            await OpenCrowd("crowd", seats).run(Sockets())


def test_a_client_process_answers_commands_and_says_why_one_failed() -> None:
    with load_client() as client:
        assert client.call(CloseCrowd("nobody")) == 0
        with pytest.raises(CommandFailed, match="OpenCrowd: ConnectionError"):
            client.call(OpenCrowd("crowd", [Seat(1)]))
        assert client.begin(CloseCrowd("nobody")).result() == 0
        assert client.cpu_s > 0
