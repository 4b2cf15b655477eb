"""What a benchmark runs on: PostgreSQL, Valkey, the servers, the load clients. All of it ends with the context."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import redis

from tests.live.server import (
    Backing,
    Server,
    ServerFactory,
    Templates,
    backing_of,
    environment_of,
    templates_on,
)
from tests.load import accounts, processes
from tests.load.client import LoadClient, load_client
from tests.load.commands.crowds import Person
from tests.services import postgresql, valkey

MIB = 1024 * 1024
POSTGRESQL_SHARE_OF_MEMORY = 4
POSTGRESQL_SHARED_MIB_MAX = 4096

RAISED_LIMITS = {
    "CONSTRUCT_MESSAGES_PER_HOUR": "1000000000",
    "CONSTRUCT_MESSAGES_BLOCK_AT": "1000000000",
    "CONSTRUCT_FLOOD_FRAMES_PER_S": "1000000",
    "CONSTRUCT_FLOOD_BYTES_PER_S": "1000000000",
    "CONSTRUCT_CONNECTIONS_PER_ADDRESS": "100000",
    "CONSTRUCT_FAILED_LOGINS_PER_ADDRESS": "10000",
    "CONSTRUCT_SEARCHES_PER_MINUTE": "1000000000",
    "CONSTRUCT_SEARCHES_PER_DAY": "1000000000",
    "CONSTRUCT_BUNDLES_PER_HOUR": "1000000000",
    "CONSTRUCT_CONTACT_REQUESTS_PER_HOUR": "1000000000",
    "CONSTRUCT_REPORTS_PER_DAY": "1000000000",
    "CONSTRUCT_MAILBOX_MESSAGES": "100000",
    "CONSTRUCT_MAILBOX_BYTES": str(1024 * MIB),
}
"""Every limit is counted and checked; only its number is out of the load's reach."""


def postgresql_settings() -> dict[str, str]:
    """What a database of some size is usually given, beside fsync and synchronous_commit, which are on."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    shared_mib = min(memory_mib // POSTGRESQL_SHARE_OF_MEMORY, POSTGRESQL_SHARED_MIB_MAX)
    return {
        "shared_buffers": f"{shared_mib}MB",
        "effective_cache_size": f"{memory_mib // 2}MB",
        "maintenance_work_mem": f"{shared_mib // 4}MB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
    }


@dataclass
class Node:
    """A server process under load."""

    server: Server

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def pid(self) -> int:
        return self.server.process.pid


@dataclass
class Construct:
    """Construct's servers on a database of their own."""

    stage: Stage
    backing: Backing
    nodes: list[Node] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return environment_of(self.backing, **RAISED_LIMITS)

    @property
    def database_url(self) -> str:
        return self.backing.environment["DATABASE_URL"]

    def people(self, count: int, password: str = "") -> list[Person]:
        """New accounts with open sessions."""
        return accounts.make_people(count, self.environment, password)


@dataclass
class Stage:
    """The services; servers and clients are started on them as contexts."""

    database_url: str
    redis_url: str
    directory: Path
    database_pid: int
    valkey_pid: int
    templates: Templates

    @contextmanager
    def construct(self, processes: int = 1) -> Iterator[Construct]:
        """So many server processes on one empty database; their logs are read at the end."""
        directory = self.directory / secrets.token_hex(4)
        directory.mkdir()
        with backing_of("distributed", directory, self.templates, self.redis_url) as backing:
            factory = ServerFactory(backing, directory)
            try:
                nodes = [Node(factory(**RAISED_LIMITS)) for _ in range(processes)]
                yield Construct(self, backing, nodes)
            finally:
                factory.close()

    @contextmanager
    def relay(self, name: str) -> Iterator[Node]:
        """One of `tests.load.relays`, in one process."""
        directory = self.directory / secrets.token_hex(4)
        directory.mkdir()
        factory = ServerFactory(Backing("distributed", {"REDIS_URL": self.redis_url}), directory)
        try:
            yield Node(factory(("-m", "tests.load.relays.serve", name, "{port}")))
        finally:
            # Its log is not judged: the stock channel layer logs tracebacks under load.
            for server in factory.servers:
                server.stop()

    def client(self) -> AbstractContextManager[LoadClient]:
        return load_client()

    @property
    def database_cpu_s(self) -> float:
        """Processor seconds of PostgreSQL, all its processes, so far."""
        return processes.cpu_s(self.database_pid)

    @property
    def valkey_cpu_s(self) -> float:
        return processes.cpu_s(self.valkey_pid)


def strangers(count: int) -> list[Person]:
    """People for a relay without accounts: the token is the id."""
    ids = [str(uuid4()) for _ in range(count)]
    return [Person(each, each) for each in ids]


@contextmanager
def stage() -> Iterator[Stage]:
    """Start the services, with fsync on."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="construct-bench-")))
        settings = [f"--{name}={value}" for name, value in postgresql_settings().items()]
        database_url = stack.enter_context(postgresql(*settings))
        redis_url = stack.enter_context(valkey())
        templates = stack.enter_context(templates_on(database_url, directory))
        pids = _database_pid(database_url), _valkey_pid(redis_url)
        yield Stage(database_url, redis_url, directory, *pids, templates)


def _database_pid(url: str) -> int:
    with psycopg.connect(url) as connection:
        return processes.parent_of(connection.info.backend_pid)


def _valkey_pid(url: str) -> int:
    with redis.Redis.from_url(url) as connection:
        return int(connection.info("server")["process_id"])
