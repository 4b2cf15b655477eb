"""A program: a supervisor of two workers that are nothing but their life and death.

``supervised FILE`` supervises; ``--program`` names another program than Python for the
workers. A worker looks into FILE for what it is to do: ``serve`` until SIGTERM, ``fail``
at once, ``hang`` before it is ready, or serve and be ``deaf`` to SIGTERM. It prints
``PID starts``, ``PID serves``, and ``PID NAME`` for each signal; the supervisor prints
``ready``. Long times are short here. Used by ``test_supervisor``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from construct_site.server import worker

WORKERS = 2
DRAIN_S = 1.0
EXIT_CODE = 3


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def supervise(behaviour: Path, program: str) -> None:
    # Not at the top: the workers are to start fast.
    from construct_site import logs
    from construct_site.server import supervisor
    from construct_site.server.listening import bind

    worker.READY_S = 4.0
    supervisor.KILL_AFTER_DRAIN_S = 1.0
    logs.configure("INFO", as_json=True)
    row = supervisor.Supervisor(
        (program, "-m", "tests.construct_site.supervised", str(behaviour), "--worker"),
        bind("127.0.0.1", 0),
        WORKERS,
        drain_s=DRAIN_S,
        on_ready=lambda: say("ready"),
    )
    try:
        asyncio.run(row.run())
    except supervisor.WorkersFailed as error:
        sys.exit(str(error))


def work(behaviour: str, ready_fd: int, lifeline_fd: int) -> None:
    def heed(number: int, _frame: FrameType | None) -> None:
        say(os.getpid(), signal.Signals(number).name)
        if number == signal.SIGTERM and behaviour != "deaf":
            sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, heed)
    say(os.getpid(), "starts")
    worker.end_with_supervisor(lifeline_fd)
    if behaviour == "fail":
        sys.exit(EXIT_CODE)
    if behaviour != "hang":
        say(os.getpid(), "serves")
        worker.say_ready(ready_fd)
    while True:
        time.sleep(60)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour", type=Path)
    parser.add_argument("--program", default=sys.executable)
    parser.add_argument("--worker", action="store_true")
    for name in ("--fd", "--ready-fd", "--lifeline-fd"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    if given.worker:
        work(given.behaviour.read_text(), given.ready_fd, given.lifeline_fd)
    else:
        supervise(given.behaviour, given.program)


if __name__ == "__main__":
    main()
