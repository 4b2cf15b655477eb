"""The load client: a process of its own, which the benchmark gives commands.

A command is a picklable object with a coroutine `run`; what that returns comes
back. Sockets that a command opens stay open for the next one (:class:`Sockets`).
The client measures with its own clock.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Generic, Protocol, TypeVar, cast

import uvloop

from tests.load.processes import cpu_s
from tests.load.socket import LoadSocket

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
STOP_S = 10.0


@dataclass
class Sockets:
    """What a client keeps between commands: sockets by the name of the crowd that they belong to."""

    crowds: dict[str, list[LoadSocket]] = field(default_factory=dict)
    next_number: int = 0
    """Of the next message: numbers are used once in a client's life."""

    def close(self, crowd: str) -> None:
        for socket in self.crowds.pop(crowd, []):
            socket.close()


class Command(Protocol[T_co]):
    """What a client is asked to do."""

    async def run(self, sockets: Sockets) -> T_co: ...


class CommandFailed(Exception):
    """The command raised in the client. The text names what."""


@dataclass(frozen=True)
class _Failure:
    text: str


class LoadClient:
    """A client process. One command at a time; another client can work meanwhile."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def cpu_s(self) -> float:
        """Processor seconds so far."""
        assert self._process.pid is not None
        return cpu_s(self._process.pid)

    def call(self, command: Command[T]) -> T:
        """Run a command to its end. Raises :class:`CommandFailed`; EOFError if the process died."""
        return self.begin(command).result()

    def begin(self, command: Command[T]) -> Pending[T]:
        """Start a command and return at once."""
        self._pipe.send(command)
        return Pending(self._pipe)

    def close(self) -> None:
        """End the process and all its sockets."""
        self._pipe.close()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class Pending(Generic[T]):
    """A command under way."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def result(self) -> T:
        """Wait for what the command returns. Raises as :meth:`LoadClient.call`."""
        answer = self._pipe.recv()
        if isinstance(answer, _Failure):
            raise CommandFailed(answer.text)
        return cast("T", answer)


@contextmanager
def load_client() -> Iterator[LoadClient]:
    """A client process that ends with the context."""
    client = LoadClient()
    try:
        yield client
    finally:
        client.close()


def _main(pipe: Connection) -> None:
    # Ctrl-C reaches the whole group: the benchmark ends its clients itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    sockets, loop = Sockets(), asyncio.get_running_loop()
    # A collection that looks at all frames in flight would show up as the server's latency.
    gc.freeze()
    gc.disable()
    while True:
        try:
            command: Command[Any] = await loop.run_in_executor(None, pipe.recv)
        except (EOFError, OSError):
            return
        try:
            answer = await command.run(sockets)
        except Exception as error:  # noqa: BLE001 - the benchmark's to judge
            answer = _Failure(f"{type(command).__name__}: {type(error).__name__}: {error}")
        gc.collect()
        try:
            pipe.send(answer)
        except OSError:
            # The benchmark ended meanwhile.
            return
