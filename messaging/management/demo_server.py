"""A server process of the demonstration's own, on a free loopback port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from construct_site.env import REPOSITORY

HOST = "127.0.0.1"
START_S = 60.0
STOP_S = 30.0
"""Longer than a server takes to drain its sockets."""
POLL_S = 0.1


class DemoServerFailed(Exception):
    """The server did not start. The text says where its output is."""


@contextmanager
def demo_server(log: Path) -> Iterator[str]:
    """Migrate and serve, with output appended to `log`; yields the socket's URL once it takes connections.

    The process is stopped at the end. Raises :class:`DemoServerFailed`.
    """
    port = _free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, str(REPOSITORY / "manage.py"), "serve", "--migrate"],
            # The configuration of this process, but for where to listen.
            env={**os.environ, "HOST": HOST, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await_connections(process, port, log)
        yield f"ws://{HOST}:{port}"
    finally:
        _stop(process)


def takes_connections(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _await_connections(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not takes_connections(HOST, port):
        if process.poll() is not None:
            raise DemoServerFailed(f"the server ended at once; its output is in {log}")
        if time.monotonic() > deadline:
            raise DemoServerFailed(f"the server did not start within {START_S:.0f} s; its output is in {log}")
        time.sleep(POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
