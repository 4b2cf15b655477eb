"""A worker process and the descriptors that tie it to its supervisor, seen from both sides.

* ``--fd``: the listening socket, from which all workers accept.
* ``--admin-fd``: the admin's own listening socket, where it has one, shared in the same way.
* ``--ready-fd``: the write end of a pipe into which the worker says once that it serves.
* ``--lifeline-fd``: the read end of a pipe that only the supervisor holds open. Its end
  means that the supervisor is gone, however it died; the worker then ends as on SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

READY_S = 60.0
"""Time that a new worker has to get ready."""
_READY = b"\n"


class Worker:
    """A worker as its supervisor has it. Whoever reaps the process sets `ended`."""

    def __init__(self, process: subprocess.Popen[bytes], ready_fd: int) -> None:
        self.process = process
        self.ended = asyncio.Event()
        self._ready_fd = ready_fd
        self._is_ready = False
        self._is_told_to_end = False
        self._begin = time.monotonic()

    @classmethod
    def start(
        cls, command: Sequence[str], listening_fd: int, lifeline_fd: int, admin_fd: int | None = None
    ) -> Worker:
        """Start `command` with the descriptors as arguments behind its own. Raises OSError.

        It is in a process group of its own: what a terminal sends to all on Ctrl-C
        reaches the supervisor alone, which passes it on once.
        """
        ready_fd, says_ready_fd = os.pipe()
        given = {"--fd": listening_fd, "--ready-fd": says_ready_fd, "--lifeline-fd": lifeline_fd}
        if admin_fd is not None:
            given["--admin-fd"] = admin_fd
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, *(f"{name}={fd}" for name, fd in given.items())],
                stdin=subprocess.DEVNULL,
                pass_fds=tuple(given.values()),
                process_group=0,
            )
        except OSError:
            os.close(ready_fd)
            raise
        finally:
            os.close(says_ready_fd)
        return cls(process, ready_fd)

    async def gets_ready(self) -> bool:
        """Wait until it serves; False if it ended before that or took too long. To be called once."""
        loop = asyncio.get_running_loop()
        spoke = asyncio.Event()
        loop.add_reader(self._ready_fd, spoke.set)
        try:
            async with asyncio.timeout(READY_S):
                await spoke.wait()
            # Nothing to read: the worker ended, and its end of the pipe with it.
            self._is_ready = os.read(self._ready_fd, 1) == _READY
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(self._ready_fd)
            os.close(self._ready_fd)
        return self._is_ready

    def end(self) -> None:
        """Ask it to drain and end. It is asked once, however often this is called."""
        if not self._is_told_to_end:
            self._is_told_to_end = True
            self.process.terminate()

    @property
    def lived_s(self) -> float:
        return time.monotonic() - self._begin

    @property
    def ended_in_order(self) -> bool:
        """Exit code 0; or SIGTERM's own effect on one that had not begun to serve."""
        code = self.process.returncode
        return code == 0 or (code == -signal.SIGTERM and not self._is_ready)

    def describe_end(self) -> dict[str, object]:
        """What a log says of it: the process id, and the exit code or the signal that ended it."""
        code = self.process.returncode
        how = {"exit_code": code} if code >= 0 else {"signal": -code}
        return {"pid": self.process.pid, **how}


# Inside the worker


def say_ready(ready_fd: int) -> None:
    """Tell the supervisor that this worker serves."""
    # A supervisor that is gone is the lifeline's matter.
    with contextlib.suppress(BrokenPipeError):
        os.write(ready_fd, _READY)
    os.close(ready_fd)


def end_with_supervisor(lifeline_fd: int) -> None:
    """From now on end this process as SIGTERM does when the supervisor is gone."""
    threading.Thread(target=_await_end, args=(lifeline_fd,), name="lifeline", daemon=True).start()


def _await_end(lifeline_fd: int) -> None:
    os.read(lifeline_fd, 1)  # Nothing is ever written: it returns at the end.
    os.kill(os.getpid(), signal.SIGTERM)
