"""Opening and closing many sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.load import frames
from tests.load.client import Sockets
from tests.load.socket import LoadSocket

HOST = "127.0.0.1"
AT_ONCE = 64
"""Sockets that are being opened at the same time."""
REPLY_S = 30.0


@dataclass(frozen=True)
class Person:
    """An account: its id, and the token that it connects with."""

    user_id: str
    token: str
    username: str = ""


@dataclass(frozen=True)
class Seat:
    """A socket to open. Without a person it stays anonymous."""

    port: int
    person: Person | None = None
    source: str = HOST
    """The address that it comes from, in 127.0.0.0/8."""


@dataclass(frozen=True)
class OpenCrowd:
    """Open sockets, log them in by `connect`, and keep them. Returns the seconds that it took."""

    crowd: str
    seats: Sequence[Seat]
    at_once: int = AT_ONCE

    async def run(self, sockets: Sockets) -> float:
        begin = time.perf_counter()
        opened = await open_all(self.seats, self.at_once)
        took_s = time.perf_counter() - begin
        sockets.crowds.setdefault(self.crowd, []).extend(opened)
        return took_s


@dataclass(frozen=True)
class CloseCrowd:
    """Cut the connections of a crowd. Returns how many of them the server had closed before."""

    crowd: str

    async def run(self, sockets: Sockets) -> int:
        closed_before = sum(socket.closed.done() for socket in sockets.crowds.get(self.crowd, []))
        sockets.close(self.crowd)
        return closed_before


async def open_all(seats: Sequence[Seat], at_once: int) -> list[LoadSocket]:
    """The sockets of the seats, in their order. Raises ConnectionError with the first refusal."""
    opened: dict[int, LoadSocket] = {}
    waiting = iter(enumerate(seats))

    async def work() -> None:
        for number, seat in waiting:
            opened[number] = await open_seat(seat)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        for socket in opened.values():
            socket.close()
        raise ConnectionError(str(failures.exceptions[0])) from failures
    return [opened[number] for number in range(len(seats))]


async def open_seat(seat: Seat) -> LoadSocket:
    socket = await LoadSocket.open(HOST, seat.port, ignore, seat.source)
    if seat.person is not None:
        await ask(socket, frames.connect_frame(seat.person.token), "connectSuccess")
    return socket


async def ask(socket: LoadSocket, frame: bytes, kind: frames.Kind) -> None:
    """Send a request and wait for its success frame. Raises ConnectionError for another answer."""
    answer = await exchange(socket, frame)
    if not frames.is_reply(answer, kind):
        raise ConnectionError(f"{kind} was due, came {frames.describe(answer)}")


async def exchange(socket: LoadSocket, frame: bytes) -> bytes:
    """Send a request and wait for the next frame. Raises ConnectionError for a close, TimeoutError."""
    reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def take(answer: bytes) -> None:
        if not reply.done():
            reply.set_result(answer)

    socket.on_message = take
    socket.send(frame)
    async with asyncio.timeout(REPLY_S):
        ends: list[asyncio.Future[Any]] = [reply, socket.closed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if not reply.done():
        raise ConnectionError(f"closed with {socket.closed.result()}")
    socket.on_message = ignore
    return reply.result()


def ignore(_frame: bytes) -> None:
    """Nothing is due on this socket now."""
