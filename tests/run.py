"""The whole test suite, on both backings: `python -m tests.run [arguments of pytest]`.

Pass 1 runs everything, Django being on SQLite and the in-memory layer; the tests
under `tests/live` start servers of their own on both backings. Pass 2 runs the tests
that use the database or the channel layer once more, on PostgreSQL and Valkey.
`DATABASE_URL` and `REDIS_URL` name servers to use, of which the tests take databases of
their own; servers not named are started here, and stopped at the end, also on a failure,
on Ctrl-C and on SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType

import pytest

from tests.services import empty_redis_database, fresh_database, postgresql, valkey


def main(arguments: list[str]) -> int:
    """Run both passes; the exit code is pytest's, of the first pass that failed."""
    # Until pytest runs, SIGTERM ends this like Ctrl-C: by an exception, through every `finally`.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        database_url = os.environ.get("DATABASE_URL") or stack.enter_context(postgresql())
        redis_url = os.environ.get("REDIS_URL") or stack.enter_context(valkey())
        plain = {
            name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
        }
        plain |= {"TEST_DATABASE_URL": database_url, "TEST_REDIS_URL": redis_url}
        print("Pass 1 of 2: everything, on SQLite and the in-memory layer", flush=True)
        everything = _pytest(arguments, plain)
        if everything == pytest.ExitCode.INTERRUPTED:
            return everything
        print("Pass 2 of 2: database and channel layer, on PostgreSQL and Valkey", flush=True)
        real = plain | {
            "DATABASE_URL": stack.enter_context(fresh_database(database_url)),
            "REDIS_URL": stack.enter_context(empty_redis_database(redis_url)),
        }
        again = _pytest(["--real-services", *arguments], real)
    return verdict([everything, again], selective=bool(arguments))


def verdict(codes: list[int], *, selective: bool) -> int:
    """One exit code for the passes.

    A selection may be empty in one pass, never in all; without a selection an empty
    pass is a failure.
    """
    nothing = pytest.ExitCode.NO_TESTS_COLLECTED
    if selective and any(code != nothing for code in codes):
        codes = [code for code in codes if code != nothing]
    return next((int(code) for code in codes if code != pytest.ExitCode.OK), 0)


def _pytest(arguments: list[str], environment: Mapping[str, str]) -> int:
    child = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], env=environment)
    with _signals_left_to(child):
        return child.wait()


@contextmanager
def _signals_left_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let the child end in its own time: the services must outlive its fixtures."""

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    # Ctrl-C reaches the child from the terminal already.
    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None)}
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
