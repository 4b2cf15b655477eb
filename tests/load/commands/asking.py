"""One request after another, each timed, over the socket or over REST."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.load import frames
from tests.load.client import Sockets
from tests.load.commands.crowds import HOST, REPLY_S, Seat, exchange, open_seat
from tests.load.socket import LoadSocket

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """Seconds from each request to its answer, by the kind of request."""

    took_s: Mapping[str, Sequence[float]]
    faults: Mapping[str, int]


@dataclass(frozen=True)
class AskInTurn:
    """Requests of several kinds in turn, one at a time; every other turn goes the other way round."""

    seat: Seat
    kinds: Mapping[str, Sequence[bytes]]
    """What is sent, in full: frames, or HTTP requests. As many of each kind."""
    expected: str
    """The answer to all of them: the type of a frame, the status of REST, and the code of an error."""
    is_rest: bool = False
    must_be_alike: bool = True
    """Whether the answers of one turn have to be the same, byte for byte (but for the headers of REST)."""

    async def run(self, _sockets: Sockets) -> Asked:
        edge: _Edge = await (_Rest if self.is_rest else _Socket).open(self.seat)
        took_s: dict[str, list[float]] = defaultdict(list)
        faults: Counter[str] = Counter()
        try:
            for number, requests in enumerate(zip(*self.kinds.values(), strict=True)):
                turn = list(zip(self.kinds, requests, strict=True))
                answers = set()
                for kind, request in turn if number % 2 else reversed(turn):
                    begin = time.perf_counter()
                    async with asyncio.timeout(REPLY_S):
                        answer = await edge.ask(request)
                    took_s[kind].append(time.perf_counter() - begin)
                    answers.add(answer)
                    faults[edge.describe(answer)] += edge.describe(answer) != self.expected
                faults["different answers"] += self.must_be_alike and len(answers) > 1
        finally:
            edge.close()
        return Asked(dict(took_s), dict(+faults))


class _Edge(Protocol):
    async def ask(self, request: bytes) -> bytes: ...

    def describe(self, answer: bytes) -> str: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Socket:
    socket: LoadSocket

    @classmethod
    async def open(cls, seat: Seat) -> _Socket:
        return cls(await open_seat(seat))

    async def ask(self, request: bytes) -> bytes:
        return await exchange(self.socket, request)

    def describe(self, answer: bytes) -> str:
        return frames.describe(answer)

    def close(self) -> None:
        self.socket.close()


@dataclass(frozen=True)
class _Rest:
    """One connection that stays open, as a client's does."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, seat: Seat) -> _Rest:
        return cls(*await asyncio.open_connection(HOST, seat.port, local_addr=(seat.source, 0)))

    async def ask(self, request: bytes) -> bytes:
        """The first line and the body of the answer. Raises ConnectionError for one of unknown length."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        if (length := _LENGTH.search(head)) is None:
            raise ConnectionError("an answer without its length")
        return head[: head.index(b"\r\n") + 2] + await self.reader.readexactly(int(length[1]))

    def describe(self, answer: bytes) -> str:
        line, _, body = answer.partition(b"\r\n")
        # A page is no JSON.
        code = json.loads(body).get("code") if body.startswith(b"{") else None
        status = line.split()[1].decode()
        return f"{status} {code}" if code else status

    def close(self) -> None:
        self.writer.transport.abort()
