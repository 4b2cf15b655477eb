from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from construct_site.errors import CloseCode
from messaging.outbox import EventWire, Outbox
from tests.messaging.doubles import PATIENCE_S, turns

Event = dict[str, Any]


class Wire:
    """A server's `send` that takes events while its gate is open."""

    def __init__(self) -> None:
        self.sent: list[Event] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, event: Event) -> None:
        await self.gate.wait()
        self.sent.append(event)


def unheard() -> None:
    raise AssertionError("the wire does not fail")


async def flushed(outbox: Outbox) -> None:
    await asyncio.wait_for(outbox.flush(), PATIENCE_S)


async def test_frames_pings_and_the_close_keep_their_order() -> None:
    wire = Wire()
    outbox = Outbox(EventWire(wire.send), unheard)
    outbox.put_frame(b"one")
    outbox.put_ping(b"ping")
    outbox.put_frame(b"two")
    outbox.put_close(4401)
    await flushed(outbox)
    assert wire.sent == [
        {"type": "websocket.send", "bytes": b"one"},
        {"type": "websocket.ping", "payload": b"ping"},
        {"type": "websocket.send", "bytes": b"two"},
        {"type": "websocket.close", "code": 4401},
    ]


async def test_a_close_code_of_the_table_goes_out_as_a_plain_number() -> None:
    wire = Wire()
    outbox = Outbox(EventWire(wire.send), unheard)
    outbox.put_close(CloseCode.SLOW)
    await flushed(outbox)
    assert wire.sent == [{"type": "websocket.close", "code": 4408}]
    assert type(wire.sent[0]["code"]) is int


async def test_what_is_put_after_the_close_is_dropped() -> None:
    wire = Wire()
    outbox = Outbox(EventWire(wire.send), unheard)
    outbox.put_close(1000)
    outbox.put_frame(b"late")
    outbox.put_close(4400)
    await flushed(outbox)
    assert wire.sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_slow_socket_holds_up_nobody_who_puts() -> None:
    wire = Wire()
    wire.gate.clear()
    outbox = Outbox(EventWire(wire.send), unheard)
    for number in range(100):
        outbox.put_frame(bytes([number]))
        await asyncio.sleep(0)
    assert wire.sent == []
    wire.gate.set()
    await flushed(outbox)
    assert [event["bytes"] for event in wire.sent] == [bytes([number]) for number in range(100)]


async def test_an_idle_outbox_begins_again() -> None:
    wire = Wire()
    outbox = Outbox(EventWire(wire.send), unheard)
    outbox.put_frame(b"one")
    await flushed(outbox)
    await flushed(outbox)
    outbox.put_frame(b"two")
    await flushed(outbox)
    assert [event["bytes"] for event in wire.sent] == [b"one", b"two"]


async def test_a_dropped_outbox_sends_nothing_more() -> None:
    wire = Wire()
    wire.gate.clear()
    outbox = Outbox(EventWire(wire.send), unheard)
    outbox.put_frame(b"in the server's hands")
    outbox.put_frame(b"waiting")
    await turns()
    outbox.drop()
    outbox.put_frame(b"late")
    wire.gate.set()
    await flushed(outbox)
    assert [event["bytes"] for event in wire.sent] == [b"in the server's hands"]


async def test_a_server_that_refuses_ends_the_outbox_quietly(caplog: pytest.LogCaptureFixture) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
    tried: list[Event] = []
    failures: list[bool] = []

    async def refuse(event: Event) -> None:
        tried.append(event)
        raise RuntimeError("private words")

    outbox = Outbox(EventWire(refuse), lambda: failures.append(True))
    outbox.put_frame(b"one")
    outbox.put_frame(b"two")
    await flushed(outbox)
    outbox.put_frame(b"three")
    await turns()
    gc.collect()
    assert [event["bytes"] for event in tried] == [b"one"]
    assert faults == []
    assert failures == [True]
    assert "write failed" in caplog.text
    assert "private words" not in caplog.text


class StuckWire(Wire):
    """A peer that reads nothing: only a close, which waits for nobody, still gets through."""

    async def send(self, event: Event) -> None:
        if event["type"] != "websocket.close":
            await self.gate.wait()
        self.sent.append(event)


async def test_a_socket_that_takes_nothing_is_closed_past_what_waits_for_it() -> None:
    wire = StuckWire()
    wire.gate.clear()
    outbox = Outbox(EventWire(wire.send), unheard)
    for _ in range(3):
        outbox.put_frame(b"never read")
    outbox.put_close(CloseCode.SLOW)
    await turns()
    outbox.abandon(CloseCode.SLOW)
    await turns()
    assert wire.sent == [{"type": "websocket.close", "code": 4408}]
    wire.gate.set()
    await flushed(outbox)
    assert len(wire.sent) == 2


async def test_a_socket_that_took_everything_is_not_closed_again() -> None:
    wire = Wire()
    outbox = Outbox(EventWire(wire.send), unheard)
    outbox.put_close(CloseCode.SLOW)
    await flushed(outbox)
    outbox.abandon(CloseCode.SLOW)
    await turns()
    assert len(wire.sent) == 1


async def test_there_is_room_until_much_waits() -> None:
    wire = Wire()
    wire.gate.clear()
    outbox = Outbox(EventWire(wire.send), unheard)
    for _ in range(200):
        outbox.put_frame(b"waits")
    await asyncio.wait_for(outbox.has_room(), PATIENCE_S)
    for _ in range(200):
        outbox.put_frame(b"waits")
    waiting = asyncio.create_task(outbox.has_room())
    await turns()
    assert not waiting.done()
    wire.gate.set()
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert len(wire.sent) == 400


async def test_progress_is_what_the_server_takes_up_to_the_newest_ping() -> None:
    wire, clock = Wire(), asyncio.get_running_loop().time
    wire.gate.clear()
    outbox = Outbox(EventWire(wire.send), unheard)
    outbox.put_frame(b"before")
    outbox.put_ping(b"ping")
    assert outbox.progress_at == 0.0
    put_at = clock()
    wire.gate.set()
    await flushed(outbox)
    taken_at = outbox.progress_at
    assert put_at <= taken_at <= clock()
    await asyncio.sleep(0.01)
    outbox.put_frame(b"after")
    await flushed(outbox)
    assert outbox.progress_at == taken_at
