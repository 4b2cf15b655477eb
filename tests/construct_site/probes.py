"""Runs :mod:`.probe` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from construct_site.env import REPOSITORY

WAIT_S = 20.0
BODY_BYTES = 1000
TRANSPORT_BYTES = 4000


@dataclass
class Probe:
    """A running probe: its port and what it says, line by line."""

    process: subprocess.Popen[str]
    lines: Queue[str]
    log: Path
    port: int = 0
    _is_ending: bool = False

    def await_line(self, begin: str) -> str:
        """The rest of the next line that begins so."""
        while not (line := self.lines.get(timeout=WAIT_S)).startswith(begin):
            pass
        return line.removeprefix(begin).strip()

    def end(self) -> None:
        """Ask it to end in order."""
        if not self._is_ending:
            self._is_ending = True
            self.process.terminate()

    def said(self) -> list[str]:
        """End the probe in order; all that it said and that nobody waited for."""
        self.end()
        assert self.process.wait(WAIT_S) == 0
        rest = []
        while (line := self.lines.get(timeout=WAIT_S)) != "":
            rest.append(line)
        return rest


def environment(directory: Path, **settings: str) -> dict[str, str]:
    """The environment of a server on a new SQLite database, on a port that the system chooses."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    usual = {"CONSTRUCT_ENVIRONMENT": "development", "CONSTRUCT_DATA_DIR": str(directory), "PORT": "0"}
    return kept | usual | settings


@contextmanager
def started(directory: Path, *arguments: str, **settings: str) -> Iterator[Probe]:
    """A probe with small limits; it need not have begun to listen. Killed at the end if it still runs."""
    settings = {
        "CONSTRUCT_REQUEST_BODY_BYTES": str(BODY_BYTES),
        "CONSTRUCT_FRAME_BYTES": str(TRANSPORT_BYTES),
        "CONSTRUCT_TRANSPORT_FRAME_BYTES": str(TRANSPORT_BYTES),
        "CONSTRUCT_DRAIN_S": "5",
    } | settings
    log = directory / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.construct_site.probe", *arguments],
            cwd=REPOSITORY,
            env=environment(directory, **settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    probe = Probe(process, Queue(), log)
    reader = threading.Thread(target=_read, args=(process, probe.lines))
    reader.start()
    try:
        yield probe
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def listening(directory: Path, **settings: str) -> Iterator[Probe]:
    """A probe that takes connections; its log must hold no traceback."""
    with started(directory, **settings) as probe:
        probe.port = int(probe.await_line("listening"))
        yield probe
        assert "Traceback" not in probe.log.read_text()


def _read(process: subprocess.Popen[str], lines: Queue[str]) -> None:
    """Hand over each line; an empty one at the end."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    lines.put("")
