"""The real server as a process of its own, on a real port, with its log kept and read."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from construct_site.env import REPOSITORY
from tests.services import empty_redis_database, free_port, fresh_database

START_S = 30.0
STOP_S = 15.0
SERVE = ("manage.py", "serve")
MIGRATE = ("manage.py", "migrate", "--verbosity", "0")
MIGRATE_S = 60.0
SQLITE_FILE = "construct.sqlite3"
BackingName = Literal["embedded", "distributed"]


@dataclass(frozen=True)
class Backing:
    """What a server keeps its data in, as environment variables."""

    name: BackingName
    environment: Mapping[str, str]


@dataclass
class Templates:
    """Databases that were migrated and hold nobody. A copy of one takes a tenth of the time that `migrate` takes.

    Each is made when it is first asked for.
    """

    database_url: str
    """The PostgreSQL server."""
    _directory: Path
    _stack: ExitStack

    @cached_property
    def file(self) -> Path:
        """Of SQLite."""
        migrate(Backing("embedded", {"CONSTRUCT_DATA_DIR": str(self._directory)}))
        return self._directory / SQLITE_FILE

    @cached_property
    def database(self) -> str:
        """The name of the one of PostgreSQL."""
        url = self._stack.enter_context(fresh_database(self.database_url))
        environment = {"CONSTRUCT_DATA_DIR": str(self._directory), "DATABASE_URL": url}
        migrate(Backing("distributed", environment))
        return urlsplit(url).path.removeprefix("/")


@contextmanager
def templates_on(database_url: str, directory: Path) -> Iterator[Templates]:
    """For backings on this PostgreSQL server; those of SQLite are copied from `directory`."""
    with ExitStack() as stack:
        yield Templates(database_url, directory, stack)


@contextmanager
def backing_of(
    name: BackingName, directory: Path, templates: Templates, redis_url: str, *, is_migrated: bool = True
) -> Iterator[Backing]:
    """`embedded`: SQLite and the in-memory layer. `distributed`: a database of its own on both services.

    It holds nobody, and without `is_migrated` not even tables.
    """
    with ExitStack() as stack:
        environment = {"CONSTRUCT_DATA_DIR": str(directory)}
        if name == "distributed":
            url = templates.database_url
            database = fresh_database(url, templates.database) if is_migrated else fresh_database(url)
            environment["DATABASE_URL"] = stack.enter_context(database)
            environment["REDIS_URL"] = stack.enter_context(empty_redis_database(redis_url))
        elif is_migrated:
            shutil.copy(templates.file, directory)
        yield Backing(name, environment)


def migrate(backing: Backing) -> None:
    """Bring a backing's database up to date. Raises ``subprocess.CalledProcessError``."""
    command = [sys.executable, *MIGRATE]
    subprocess.run(command, cwd=REPOSITORY, env=environment_of(backing), check=True, timeout=MIGRATE_S)


@dataclass
class Server:
    """One running server process. `log` is all it wrote on standard output and standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    started_in_s: float = 0.0

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def await_port(self) -> None:
        """Wait until the port takes connections. Raises RuntimeError after 30 s or when the process ended."""
        begin = time.monotonic()
        while not self._takes_connections():
            if self.process.poll() is not None or time.monotonic() - begin > START_S:
                raise RuntimeError(
                    f"the server did not start ({self.process.poll()}):\n{self.log.read_text()}"
                )
            time.sleep(0.02)
        self.started_in_s = time.monotonic() - begin

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an HTTP GET."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def stop(self) -> int:
        """End it with SIGTERM, after 15 s with SIGKILL; the exit code, negative for a signal."""
        self.terminate()
        return self.end()

    def terminate(self) -> None:
        """Ask it to end, if it still runs, and do not wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Wait until it has ended, after 15 s by SIGKILL; the exit code, negative for a signal."""
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it without a chance to do anything."""
        self.process.kill()
        return self.process.wait()

    def _takes_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class ServerFactory:
    """Starts servers on one backing and ends them all.

    `private` collects what no log may ever hold: names, ids, tokens that a test uses.
    """

    backing: Backing
    directory: Path
    private: set[str] = field(default_factory=set)
    servers: list[Server] = field(default_factory=list)

    def __call__(self, arguments: Sequence[str] = SERVE, **settings: str) -> Server:
        """Start a server and wait until it listens.

        `arguments` are Python's; `{port}` in them becomes the port. `settings` are
        environment variables beside those of the backing.
        """
        server = self.launch(arguments, **settings)
        server.await_port()
        return server

    def launch(self, arguments: Sequence[str] = SERVE, **settings: str) -> Server:
        """Start a server process and return at once: for those that must refuse to start."""
        # Nor one of a server that was launched and does not listen yet.
        taken = {server.port for server in self.servers}
        port = next(port for port in iter(free_port, None) if port not in taken)
        number = len(self.servers)
        log = self.directory / f"server-{number}.log"
        environment = environment_of(self.backing, PORT=str(port), **settings)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *(argument.format(port=port) for argument in arguments)],
                cwd=REPOSITORY,
                env=environment,
                stdout=output,
                stderr=output,
                # In a session of its own: Ctrl-C ends the test, and the test ends the server.
                start_new_session=True,
                # A shell starts what it runs in the background with SIGINT ignored, and that is inherited.
                preexec_fn=_heed_interrupts,
            )
        self.servers.append(Server(process, port, log))
        return self.servers[-1]

    def pair(self, **settings: str) -> tuple[Server, Server]:
        """Two server processes on the same backing, started at once."""
        if self.backing.name == "embedded":
            raise ValueError("the in-memory layer serves one process")
        both = self.launch(**settings), self.launch(**settings)
        for server in both:
            server.await_port()
        return both

    def close(self) -> None:
        """End all servers; then raise AssertionError if a log holds a traceback or something private."""
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.end()
        for server in self.servers:
            assert_log_is_clean(server.log.read_text(errors="replace"), self.private)


def assert_log_is_clean(log: str, private: set[str]) -> None:
    """Logs tell what happened, never how the program is built inside nor who was there."""
    assert "Traceback" not in log, log
    leaked = {word for word in private if word.lower() in log.lower()}
    assert not leaked, f"in the log: {leaked}"


def environment_of(backing: Backing, **settings: str) -> dict[str, str]:
    """The whole environment of a server: nothing but the search path is taken over from the tests'."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    usual = {"CONSTRUCT_ENVIRONMENT": "development", "HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    # Shorter than STOP_S: a test that leaves a socket open must not end its server by force.
    usual |= {"CONSTRUCT_DRAIN_S": "2"}
    return kept | usual | dict(backing.environment) | settings
