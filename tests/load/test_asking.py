"""The load client that asks: what it times, in which order, and what it takes for a fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from uuid import UUID

import pytest
from websockets.asyncio.server import ServerConnection, serve

from messaging.protocol import codec
from messaging.protocol.messages import Ack, Error
from tests.load import frames
from tests.load.client import Sockets
from tests.load.commands.asking import Asked, AskInTurn
from tests.load.commands.crowds import Seat

Answers = Callable[[bytes], bytes]
NOT_FOUND = b'{"code":"USER_NOT_FOUND"}'


@asynccontextmanager
async def socket_server(answers: Answers) -> AsyncIterator[int]:
    async def handle(socket: ServerConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, bytes)
            await socket.send(answers(frame))

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def rest_server(answers: Answers) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionResetError), closing(writer):
            while True:
                writer.write(answers(await reader.readuntil(b"\r\n\r\n")))

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def refusal(code: str) -> bytes:
    return codec.encode(Error(code=code, message="No."))


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def ask(port: int, kinds: dict[str, list[bytes]], expected: str, *, is_rest: bool) -> Asked:
    return await AskInTurn(Seat(port), kinds, expected, is_rest).run(Sockets())


async def test_every_request_is_timed_and_the_kinds_take_turns_at_coming_first() -> None:
    came = []

    def answers(request: bytes) -> bytes:
        came.append(request.split()[1].decode())
        return http("404 Not Found", NOT_FOUND)

    kinds = {
        "known": [b"GET /known HTTP/1.1\r\n\r\n"] * 3,
        "unknown": [b"GET /unknown HTTP/1.1\r\n\r\n"] * 3,
    }
    async with rest_server(answers) as port:
        asked = await ask(port, kinds, "404 USER_NOT_FOUND", is_rest=True)
    assert came == ["/unknown", "/known", "/known", "/unknown", "/unknown", "/known"]
    assert {kind: len(took_s) for kind, took_s in asked.took_s.items()} == {"known": 3, "unknown": 3}
    assert all(each > 0 for took_s in asked.took_s.values() for each in took_s)
    assert asked.faults == {}


async def test_answers_that_differ_are_a_fault_even_if_each_is_as_expected() -> None:
    def answers(request: bytes) -> bytes:
        about = request.split()[1]
        return http("404 Not Found", b'{"code":"USER_NOT_FOUND","message":"%s"}' % about)

    kinds = {"known": [b"GET /known HTTP/1.1\r\n\r\n"], "unknown": [b"GET /unknown HTTP/1.1\r\n\r\n"]}
    async with rest_server(answers) as port:
        asked = await ask(port, kinds, "404 USER_NOT_FOUND", is_rest=True)
    assert asked.faults == {"different answers": 1}


async def test_an_answer_of_another_code_is_a_fault_by_its_name() -> None:
    known, unknown = frames.bundle_frame("known"), frames.bundle_frame("unknown")

    def answers(frame: bytes) -> bytes:
        return refusal("USER_NOT_FOUND" if frame == unknown else "SERVER_ERROR")

    async with socket_server(answers) as port:
        asked = await ask(
            port, {"known": [known] * 2, "unknown": [unknown] * 2}, "Error USER_NOT_FOUND", is_rest=False
        )
    assert asked.faults == {"Error SERVER_ERROR": 2, "different answers": 2}


async def test_an_ack_of_another_status_is_a_fault() -> None:
    frame = frames.MessageTemplate(str(UUID(int=1)), str(UUID(int=2))).frame(0)

    def answers(_frame: bytes) -> bytes:
        return codec.encode(Ack(message_id=str(UUID(int=3)), status="queued", timestamp=0))

    async with socket_server(answers) as port:
        asked = [
            await ask(port, {"free": [frame]}, f"Ack {each}", is_rest=False)
            for each in ("queued", "delivered")
        ]
    assert [each.faults for each in asked] == [{}, {"Ack queued": 1}]


async def test_a_page_is_judged_by_its_status() -> None:
    def answers(request: bytes) -> bytes:
        return http("200 OK", b"<!doctype html>") if b"/here" in request else http("302 Found", b"")

    kinds = {"here": [b"GET /here HTTP/1.1\r\n\r\n"], "away": [b"GET /away HTTP/1.1\r\n\r\n"]}
    async with rest_server(answers) as port:
        asked = await AskInTurn(Seat(port), kinds, "200", is_rest=True, must_be_alike=False).run(Sockets())
    assert asked.faults == {"302": 1}


async def test_a_rest_answer_of_unknown_length_is_refused() -> None:
    async with rest_server(lambda _request: b"HTTP/1.1 200 OK\r\n\r\n") as port:
        with pytest.raises(ConnectionError):
            await ask(port, {"known": [b"GET / HTTP/1.1\r\n\r\n"]}, "200", is_rest=True)
