"""Several server processes on one listening socket: a worker that dies is replaced, the others are not touched.

The supervisor accepts nothing itself. It keeps the listening socket open, so no
connection attempt is refused while a worker is replaced, and starts the workers as new
programs: an event loop, threads and pools of connections do not survive a fork.

SIGTERM and SIGINT end the workers, then the supervisor. SIGHUP replaces them one after
the other, each by one that already serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from construct_site.logs import describe_error
from construct_site.server.worker import Worker

log = structlog.get_logger(__name__)

KILL_AFTER_DRAIN_S = 10.0
"""A worker drains by itself within CONSTRUCT_DRAIN_S. One that is there so much longer is killed."""


class WorkersFailed(Exception):
    """One of the first workers did not start, or one did not end in order."""


class BackOff:
    """How long one of the places stays empty after a worker died there: longer each time in a crash loop."""

    FIRST_S = 0.5
    LONGEST_S = 30.0
    STEADY_S = 60.0
    """A worker that lived so long was no part of a loop."""

    def __init__(self) -> None:
        self._next_s = self.FIRST_S

    def after(self, lived_s: float) -> float:
        """The pause after a worker that lived `lived_s`, in seconds."""
        if lived_s >= self.STEADY_S:
            self._next_s = self.FIRST_S
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self.LONGEST_S)
        return pause_s


@dataclass(eq=False)
class Place:
    """Where one worker serves at a time; a supervisor has as many places as workers were asked for."""

    worker: Worker
    back_off: BackOff = field(default_factory=BackOff)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a new worker for this place gets ready."""


class Supervisor:
    """Keeps `count` workers running. :meth:`run` is the whole of it."""

    def __init__(
        self,
        command: Sequence[str],
        listener: socket.socket,
        count: int,
        *,
        drain_s: float,
        on_ready: Callable[[], None],
        admin_listener: socket.socket | None = None,
    ) -> None:
        """`command` starts a worker, as :meth:`Worker.start` says. The listeners are closed at the end."""
        self._command = command
        self._listener = listener
        self._admin_listener = admin_listener
        self._count = count
        self._kill_after_s = drain_s + KILL_AFTER_DRAIN_S
        self._on_ready = on_ready
        self._restart_asked = asyncio.Event()
        self._living: set[Worker] = set()
        self._lifeline_fd, self._held_fd = os.pipe()

    async def run(self) -> None:
        """Start the workers, call `on_ready` when all serve, keep them running until SIGTERM or SIGINT.

        Raises :class:`WorkersFailed` if one of the first workers does not get ready,
        or if one did not end in order. Either way none is left.
        """
        work = asyncio.create_task(self._work())
        self._heed_signals(work)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await work
        finally:
            # New connections are refused as soon as the workers let go of the socket as well.
            self._listener.close()
            if self._admin_listener:
                self._admin_listener.close()
            ended_in_order = await self._end(list(self._living))
            os.close(self._held_fd)
            os.close(self._lifeline_fd)
        if not ended_in_order:
            raise WorkersFailed("Not every worker ended in order.")

    def _heed_signals(self, work: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGHUP, self._restart_asked.set)
        loop.add_signal_handler(signal.SIGTERM, work.cancel)
        # A shell starts what it runs in the background with SIGINT ignored: that stays so.
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGINT, work.cancel)

    def _reap(self) -> None:
        for worker in [each for each in self._living if each.process.poll() is not None]:
            self._living.discard(worker)
            worker.ended.set()

    # Starting

    async def _work(self) -> None:
        # One before the others: what keeps it from starting would keep all, and is said once.
        first = await self._start_first()
        others = await asyncio.gather(*(self._start_first() for _ in range(self._count - 1)))
        places = [Place(worker) for worker in (first, *others)]
        self._on_ready()
        async with asyncio.TaskGroup() as self._tasks:
            for place in places:
                self._tasks.create_task(self._replace_when_dead(place, place.worker))
            self._tasks.create_task(self._restart_when_asked(places))

    async def _start_first(self) -> Worker:
        worker = await self._start()
        if worker is None:
            raise WorkersFailed("A worker did not start. What it said stands above.")
        return worker

    async def _start(self) -> Worker | None:
        """A new worker that serves. None, and a line in the log, if there is none to be had."""
        try:
            admin_fd = self._admin_listener.fileno() if self._admin_listener else None
            worker = Worker.start(self._command, self._listener.fileno(), self._lifeline_fd, admin_fd)
        except OSError as error:
            log.error("a worker could not be started", error=describe_error(error))
            return None
        self._living.add(worker)
        if await worker.gets_ready():
            return worker
        worker.process.kill()
        await worker.ended.wait()
        log.error("a worker did not get ready", **worker.describe_end())
        return None

    # Replacing

    async def _replace_when_dead(self, place: Place, worker: Worker) -> None:
        """Await the worker's end. Unless another has its place by then, start new ones until one serves there."""
        await worker.ended.wait()
        lived_s = worker.lived_s
        if place.worker is worker:
            log.error("a worker died", **worker.describe_end())
        while place.worker is worker:
            await asyncio.sleep(place.back_off.after(lived_s))
            lived_s = 0.0
            async with place.changing:
                if place.worker is worker and (replacement := await self._start()):
                    self._put(place, replacement)

    def _put(self, place: Place, worker: Worker) -> None:
        place.worker = worker
        self._tasks.create_task(self._replace_when_dead(place, worker))

    async def _restart_when_asked(self, places: Sequence[Place]) -> None:
        """A round through all places for each SIGHUP; those that come during a round make one more together."""
        while True:
            await self._restart_asked.wait()
            self._restart_asked.clear()
            await self._restart(places)

    async def _restart(self, places: Sequence[Place]) -> None:
        for place in places:
            if not await self._renew(place):
                # Where one did not get ready the next would not either.
                log.error("rolling restart given up: the old workers stay")
                return
        log.info("rolling restart done", workers=len(places))

    async def _renew(self, place: Place) -> bool:
        """Put a new worker into the place, then end the old one. False if no new one got ready."""
        async with place.changing:
            replacement = await self._start()
            if replacement is None:
                return False
            old = place.worker
            self._put(place, replacement)
        await self._end([old])
        return True

    # Ending

    async def _end(self, workers: Collection[Worker]) -> bool:
        """SIGTERM to all, and long after their drain SIGKILL to those still there. Whether all ended in order."""
        for worker in workers:
            worker.end()
        try:
            async with asyncio.timeout(self._kill_after_s):
                await _ended(workers)
        except TimeoutError:
            late = [worker for worker in workers if not worker.ended.is_set()]
            log.error("workers did not end in time and were killed", workers=len(late))
            for worker in late:
                worker.process.kill()
            await _ended(late)
        return all(worker.ended_in_order for worker in workers)


async def _ended(workers: Collection[Worker]) -> None:
    for worker in workers:
        await worker.ended.wait()
