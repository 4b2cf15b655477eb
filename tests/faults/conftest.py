"""Real servers, a real PostgreSQL and a real Valkey that each test may kill, and clients to judge what was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.faults.cluster import FAULT_SETTINGS, Cluster
from tests.faults.crowd import Crowd
from tests.faults.ledger import Verdict
from tests.faults.sizes import SIZES, Size
from tests.live.server import Backing, ServerFactory, Templates, templates_on
from tests.services import PostgresqlServer, RedisServer, fresh_database, postgresql_server, valkey_server

VERDICT = "verdict"


@pytest.fixture(scope="session")
def size(pytestconfig: pytest.Config) -> Size:
    return SIZES[pytestconfig.getoption("fault_size")]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """Of the fault tests alone. A test that stops it starts it again."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    """Of the fault tests alone. A test that kills it starts it again."""
    with valkey_server() as server:
        yield server


@pytest.fixture(scope="session")
def templates(postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Templates]:
    with templates_on(postgresql.url, tmp_path_factory.mktemp("template")) as made:
        yield made


@pytest.fixture(scope="module")
def backing(
    templates: Templates, valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backing]:
    with fresh_database(templates.database_url, templates.database) as database_url:
        data = str(tmp_path_factory.mktemp("data"))
        environment = {"CONSTRUCT_DATA_DIR": data, "DATABASE_URL": database_url, "REDIS_URL": valkey.url}
        yield Backing("distributed", environment)


@pytest.fixture(scope="module")
def factory(backing: Backing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """The servers of a module's tests. At its end their logs are read."""
    factory = ServerFactory(backing, tmp_path_factory.mktemp("servers"))
    try:
        yield factory
    finally:
        factory.close()


@pytest.fixture(scope="module")
def module_cluster(request: pytest.FixtureRequest, factory: ServerFactory) -> Cluster:
    return Cluster(factory, {**FAULT_SETTINGS, **getattr(request.module, "SETTINGS", {})})


@pytest.fixture
async def cluster(module_cluster: Cluster) -> Cluster:
    """Running servers, with the module's SETTINGS; those that a test leaves alive serve the next one."""
    while len(module_cluster.servers) < (1 if module_cluster.factory.backing.name == "embedded" else 2):
        await module_cluster.start()
    return module_cluster


@pytest.fixture
async def crowd(cluster: Cluster, size: Size) -> AsyncIterator[Crowd]:
    """Connected clients of as many accounts, half of them on each server."""
    crowd = Crowd()
    try:
        for turn, person in enumerate(await cluster.accounts(size.accounts)):
            crowd.add(person, lambda attempt, turn=turn: cluster.port(turn + attempt))  # type: ignore[misc]
        await crowd.connected()
        yield crowd
    finally:
        await crowd.close()


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[Verdict], None]:
    """Has a test's counts shown in the summary."""
    return lambda verdict: record_property(VERDICT, str(verdict))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    timeout_s = SIZES[config.getoption("fault_size")].timeout_s
    for item in items:
        if "tests/faults" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(timeout_s))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for outcome in ("passed", "failed"):
        for test in terminalreporter.getreports(outcome):
            for name, value in test.user_properties:
                if name == VERDICT:
                    terminalreporter.write_line(f"{test.nodeid.rpartition('/')[2]}: {value}")
