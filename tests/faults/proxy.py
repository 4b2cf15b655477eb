"""A TCP proxy on the loopback address that can break what passes through it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

POLL_S = 0.1
JOIN_S = 5.0

Inspect = Callable[[bytes], bytes]
"""Looks at what was read and gives what is passed on. Raises ``EOFError`` to cut the connection."""


class Proxy:
    """Passes connections on to a port, both ways, until told otherwise.

    ``with Proxy(port) as proxy`` listens on :attr:`port`; the end of the context
    cuts every connection. In threads: it serves whatever the event loop waits for.
    """

    _chunk_bytes = 65536
    _receive_bytes: int | None = None
    """What the system takes in from the target before the proxy has read it; ``None``: what it likes."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL_S)
        self.port: int = self._listener.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._has_ended = False
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._has_ended = True
        self._flows.set()
        for each in self._sockets:
            _cut(each)
        for thread in self._threads:
            thread.join(JOIN_S)
        for each in (self._listener, *self._sockets):
            each.close()

    def hang(self) -> None:
        """From now on nothing passes and nobody hears of an end: a cable that was pulled."""
        self._flows.clear()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._has_ended:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._sockets.append(client)
            server = socket.socket()
            self._sockets.append(server)
            if self._receive_bytes is not None:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
            try:
                server.connect(("127.0.0.1", self._target_port))
            except OSError:
                _cut(client)
                continue
            inspect_request, inspect_reply = self._inspectors()
            self._start(self._pump, client, server, inspect_request)
            self._start(self._pump, server, client, inspect_reply)

    def _pump(self, source: socket.socket, sink: socket.socket, inspect: Inspect) -> None:
        """Pass on until either side ends or `inspect` cuts; then cut both."""
        with suppress(OSError, EOFError):
            while data := source.recv(self._chunk_bytes):
                self._flows.wait()
                sink.sendall(inspect(data))
        self._flows.wait()
        _cut(source)
        _cut(sink)

    def _inspectors(self) -> tuple[Inspect, Inspect]:
        """For the requests and for the replies of one connection."""
        return bytes, bytes


class SlowProxy(Proxy):
    """A slow link: what comes from the target passes at so many bytes a second, on each connection."""

    _chunk_bytes = 4096
    _receive_bytes = 4096

    def __init__(self, target_port: int, bytes_per_s: float) -> None:
        super().__init__(target_port)
        self._bytes_per_s = bytes_per_s

    def _inspectors(self) -> tuple[Inspect, Inspect]:
        return bytes, self._take_time

    def _take_time(self, data: bytes) -> bytes:
        time.sleep(len(data) / self._bytes_per_s)
        return data


def _cut(each: socket.socket) -> None:
    """End a connection both ways; who waits for it in another thread wakes up."""
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


class CommitProxy(Proxy):
    """In front of PostgreSQL: cuts a connection in the moment between a commit and its reply.

    Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats".
    The connections must not be encrypted, and answer one statement after another.
    """

    def __init__(self, target_port: int, statement: bytes) -> None:
        """`statement`: text that occurs in the prepared statements whose replies may be swallowed."""
        super().__init__(target_port)
        self.swallowed = 0
        """Statements that were committed and whose reply nobody saw."""
        self.statement = statement
        self._lock = threading.Lock()
        self._armed = 0

    def swallow(self, count: int = 1) -> None:
        """Have the next `count` executions of the statement commit, and their connections cut before the reply."""
        with self._lock:
            self._armed += count

    def takes(self) -> bool:
        """Whether the statement that is executed now shall be swallowed."""
        with self._lock:
            if not self._armed:
                return False
            self._armed -= 1
            return True

    def _inspectors(self) -> tuple[Inspect, Inspect]:
        conversation = _Conversation(self)
        return conversation.request, conversation.reply


class _Conversation:
    """One connection's messages: a byte of type (the first message has none), a length of 4, a body."""

    def __init__(self, proxy: CommitProxy) -> None:
        self._proxy = proxy
        self._unread = bytearray()
        self._has_begun = False
        self._names: set[bytes] = set()
        self._is_swallowing = False
        self._swallowed = bytearray()

    def request(self, data: bytes) -> bytes:
        self._unread += data
        while (message := self._next()) is not None:
            self._look_at(*message)
        return data

    def _next(self) -> tuple[bytes, bytes] | None:
        kind = 1 if self._has_begun else 0
        if len(self._unread) < kind + 4:
            return None
        (length,) = struct.unpack_from("!I", self._unread, kind)
        if len(self._unread) < kind + length:
            return None
        message = bytes(self._unread[:kind]), bytes(self._unread[kind + 4 : kind + length])
        del self._unread[: kind + length]
        self._has_begun = True
        return message

    def _look_at(self, kind: bytes, body: bytes) -> None:
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            if self._proxy.statement in text:
                self._names.add(name)
        elif kind == b"B":
            _portal, name, _ = body.split(b"\0", 2)
            self._is_swallowing = name in self._names and self._proxy.takes()

    def reply(self, data: bytes) -> bytes:
        if not self._is_swallowing:
            return data
        self._swallowed += data
        # ReadyForQuery, "idle": the statement is over, and with it its transaction.
        if self._swallowed.endswith(b"Z\0\0\0\x05I"):
            # An error alone would mean that nothing was committed.
            self._proxy.swallowed += b"SELECT " in self._swallowed
            raise EOFError
        return b""
