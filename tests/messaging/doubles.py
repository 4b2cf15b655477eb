"""The other sides of a connection, at its seams: a socket that keeps what it is told, a mailbox in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from accounts.policy import Account
from construct_site.errors import CloseCode, ErrorCode
from messaging.connection import Connection, Identity, Rows
from messaging.mailbox.letters import Page, WaitingRow
from messaging.protocol import codec
from messaging.protocol.messages import ChatMessage

PATIENCE_S = 10.0
"""Longest wait for what must happen; reached only by a failing test."""


async def until(is_so: Callable[[], bool | Awaitable[bool]]) -> None:
    """Let the loop turn until `is_so`. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = is_so()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.001)


async def turns(count: int = 10) -> None:
    """Let everything run that is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


def chat_message(
    sender: UUID, recipient: UUID, *, message_id: str = "", number: int = 0, content: str = "AAAA"
) -> ChatMessage:
    return ChatMessage(
        id=message_id or str(uuid4()),
        sender=str(sender),
        recipient=str(recipient),
        ephemeral_public_key=bytes(32),
        message_number=number,
        content=content,
        timestamp=1_700_000_000,
    )


def message_frame(*, message_id: str = "", number: int = 0, size: int = 4) -> bytes:
    """`size`: the characters of its content."""
    message = chat_message(uuid4(), uuid4(), message_id=message_id, number=number, content="A" * size)
    return codec.encode(message)


def identity(user_id: UUID | None = None, *, receipts: bool = False) -> Identity:
    return Identity(Account(user_id or uuid4(), datetime.now(UTC)), uuid4(), receipts)


class RecordingSocket:
    """A socket that keeps everything in the order in which it came."""

    def __init__(self, *, has_pongs: bool = True) -> None:
        self.has_pongs = has_pongs
        self.progress_at = 0.0
        self.frames: list[bytes] = []
        self.pings: list[bytes] = []
        self.closes: list[tuple[CloseCode, ErrorCode | None]] = []
        self.expiries = 0
        self.suspensions: list[str] = []
        self.on_close: Callable[[], None] | None = None

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    def ping(self, payload: bytes) -> None:
        self.pings.append(payload)

    def close(self, code: CloseCode, error: ErrorCode | None = None) -> None:
        self.closes.append((code, error))
        if self.on_close is not None:
            self.on_close()

    def expire(self) -> None:
        self.expiries += 1

    def suspend(self, text: str) -> None:
        self.suspensions.append(text)


class ModelRows:
    """One user's mailbox in memory. Confirmed rows become stubs when :meth:`commit_stubs` says so.

    Where `is_stepwise`, every page waits for :meth:`step` twice: before it is read and
    before it is returned.
    """

    def __init__(self, *, is_stepwise: bool = False) -> None:
        self.waiting: dict[int, bytes] = {}
        self.confirmed: list[int] = []
        self.discarded: list[int] = []
        self.unreadable: set[int] = set()
        self.unheard: set[int] = set()
        self.failures: list[Exception] = []
        self.pages = 0
        self.is_stepwise = is_stepwise
        self._uncommitted: list[tuple[Connection, int]] = []
        self._stubs: list[tuple[Connection, int]] = []
        self._steps = asyncio.Semaphore(0)
        self._last_id = 0
        self._senders: dict[int, int] = {}

    def begin_store(self, sender: int = 0) -> tuple[int, int]:
        """A process begins to store a message: its row, and the sender's newest row that waits (0: none)."""
        self._last_id += 1
        previous = max((row for row in self.waiting if self._senders[row] == sender), default=0)
        self._senders[self._last_id] = sender
        return self._last_id, previous

    def end_store(self, row_id: int, frame: bytes) -> None:
        """The commit: the message can be read from now on."""
        self.waiting[row_id] = frame

    def store(self, frame: bytes) -> tuple[int, int, bytes]:
        """Store a message: the arguments of the ring."""
        row_id, previous = self.begin_store()
        self.end_store(row_id, frame)
        return row_id, previous, frame

    def step(self) -> None:
        self._steps.release()

    def put_stubs_on_disk(self) -> None:
        """The confirmed rows wait no more; their connections have not heard of it yet."""
        for _, row_id in self._uncommitted:
            self.waiting.pop(row_id, None)
        self._stubs += self._uncommitted
        self._uncommitted.clear()

    def commit_stubs(self) -> None:
        """The confirmed rows wait no more, and their connections hear of it."""
        self.put_stubs_on_disk()
        for connection, row_id in self._stubs:
            connection.forget(row_id)
        self._stubs.clear()

    async def page(self, connection: Connection, messages: int, size: int) -> Page:
        self.pages += 1
        known = set(connection.not_to_page)
        await self._await_step()
        if self.failures:
            raise self.failures.pop(0)
        found = [row for row in sorted(self.waiting) if row not in known][: messages + 1]
        taken: list[WaitingRow] = []
        for row in found[:messages]:
            size -= len(self.waiting[row])
            if taken and size < 0:
                break
            taken.append(WaitingRow(row, row.to_bytes(16, "big"), self.waiting[row], row in self.unheard))
        await self._await_step()
        return Page(taken, is_last=len(taken) == len(found))

    def read(self, user_id: UUID, name: bytes, sealed: bytes) -> bytes | None:  # noqa: ARG002 - the seam's form
        return None if int.from_bytes(name, "big") in self.unreadable else sealed

    async def discard(self, row_ids: list[int]) -> None:
        self.discarded += row_ids
        for row_id in row_ids:
            self.waiting.pop(row_id, None)

    def confirm(self, connection: Connection, row_ids: Iterable[int]) -> None:
        rows = list(row_ids)
        assert rows, "nothing was confirmed"
        self.confirmed += rows
        self._uncommitted += [(connection, row) for row in rows]

    async def _await_step(self) -> None:
        if self.is_stepwise:
            await self._steps.acquire()
        else:
            await asyncio.sleep(0)


async def begun(
    rows: Rows, socket: RecordingSocket | None = None, *, receipts: bool = False
) -> tuple[Connection, RecordingSocket]:
    """A connection that was handed what waited when it began."""
    socket = socket or RecordingSocket()
    connection = Connection(identity(receipts=receipts), socket, rows)
    connection.begin()
    await turns()
    return connection, socket
