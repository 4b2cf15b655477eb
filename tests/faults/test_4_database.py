"""A database that goes away, cannot say what it did, or refuses to write: no ack without a commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
import pytest

from construct_site.health import ANSWER_S, KEPT_S, READY_PATH
from tests.faults.cluster import Cluster, away
from tests.faults.crowd import Crowd, until
from tests.faults.ledger import Verdict
from tests.faults.proxy import CommitProxy
from tests.faults.sizes import Size
from tests.live.nodes import query
from tests.live.server import Backing
from tests.services import PostgresqlServer

Report = Callable[[Verdict], None]

TO_RETRY = {"QUEUE_FAILED", "SERVER_ERROR"}
AWAY_S = 1.0
REPLY_S = 3.0
SETTINGS = {"CONSTRUCT_REQUEST_S": str(REPLY_S)}
SLACK = 3
STORING = b"INSERT INTO messaging_mailboxmessage"


@pytest.fixture(scope="module")
def proxy(postgresql: PostgresqlServer) -> Iterator[CommitProxy]:
    """Between the servers and PostgreSQL."""
    with CommitProxy(urlsplit(postgresql.url).port or 0, STORING) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def backing(backing: Backing, proxy: CommitProxy) -> Backing:
    url = urlsplit(backing.environment["DATABASE_URL"])
    netloc = url.netloc.rpartition(":")[0] + f":{proxy.port}"
    through_proxy = url._replace(netloc=netloc, query="sslmode=disable&gssencmode=disable").geturl()
    return Backing(backing.name, {**backing.environment, "DATABASE_URL": through_proxy})


@dataclass
class Judge:
    """Compares the crowd's ledger with the rows of the database."""

    crowd: Crowd
    cluster: Cluster
    report: Report
    stored_before: int

    @property
    def stored(self) -> int:
        """Messages that were stored in this test: those that wait, and the stubs of those that were confirmed."""
        return stored(self.cluster) - self.stored_before

    async def assert_each_was_stored_once(self) -> None:
        verdict = await self.crowd.settle()
        self.report(verdict)
        assert verdict.faults == {}
        assert self.stored == verdict.sent
        assert set(self.crowd.errors) <= TO_RETRY
        assert self.crowd.slowest_reply_s < SLACK * REPLY_S


@pytest.fixture
def judge(crowd: Crowd, cluster: Cluster, report: Report) -> Judge:
    return Judge(crowd, cluster, report, stored(cluster))


def stored(cluster: Cluster) -> int:
    return int(query(cluster.factory.backing, "SELECT count(*) FROM messaging_mailboxmessage")[0][0])


async def test_a_crash_of_the_database_loses_nothing_and_doubles_nothing(
    judge: Judge, crowd: Crowd, size: Size, postgresql: PostgresqlServer
) -> None:
    async with crowd.talking(size.per_s):
        for _ in range(size.rounds):
            await asyncio.sleep(size.calm_s)
            async with away(postgresql.crash, postgresql.start):
                # What was committed before the crash is acked at once.
                await asyncio.sleep(AWAY_S)
                acked = len(crowd.ledger.acked)
                await asyncio.sleep(AWAY_S)
                assert len(crowd.ledger.acked) == acked, "nobody is acked without a database"
            assert judge.stored >= acked
            await until(lambda acked=acked: len(crowd.ledger.acked) > acked, SLACK * REPLY_S)  # type: ignore[misc]
        await asyncio.sleep(size.calm_s)
    await judge.assert_each_was_stored_once()


async def test_readiness_tells_that_the_database_is_away_and_that_it_is_back(
    cluster: Cluster, postgresql: PostgresqlServer
) -> None:
    def status() -> int:
        return cluster.servers[0].get(READY_PATH)[0]

    assert status() == 200
    async with away(postgresql.crash, postgresql.start):
        await until(lambda: status() == 503, SLACK * (KEPT_S + ANSWER_S))
    await until(lambda: status() == 200, SLACK * (KEPT_S + ANSWER_S))


@contextmanager
def read_only(postgresql: PostgresqlServer) -> Iterator[None]:
    def set_read_only(word: str) -> None:
        with psycopg.connect(postgresql.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}".encode())
            connection.execute("SELECT pg_reload_conf()")

    set_read_only("on")
    try:
        yield
    finally:
        set_read_only("off")


async def test_a_read_only_database_is_an_error_to_retry_and_the_service_resumes_by_itself(
    judge: Judge, crowd: Crowd, size: Size, postgresql: PostgresqlServer
) -> None:
    async with crowd.talking(size.per_s):
        for _ in range(size.rounds):
            await asyncio.sleep(size.calm_s)
            with read_only(postgresql):
                await asyncio.sleep(AWAY_S)
                acked = len(crowd.ledger.acked)
                await until(lambda: crowd.errors["QUEUE_FAILED"] > 0, SLACK * REPLY_S)
                await asyncio.sleep(AWAY_S)
                assert len(crowd.ledger.acked) == acked, "nothing can be stored"
            await until(lambda acked=acked: len(crowd.ledger.acked) > acked, SLACK * REPLY_S)  # type: ignore[misc]
        await asyncio.sleep(size.calm_s)
    await judge.assert_each_was_stored_once()


async def test_what_was_committed_without_a_reply_is_acked_later_and_delivered_once(
    judge: Judge, crowd: Crowd, size: Size, proxy: CommitProxy
) -> None:
    async with crowd.talking(size.per_s):
        for turn in range(1, 3 * size.rounds + 1):
            await asyncio.sleep(size.calm_s)
            proxy.swallow()
            await until(lambda turn=turn: proxy.swallowed == turn, SLACK * REPLY_S)  # type: ignore[misc]
        await asyncio.sleep(size.calm_s)
    await judge.assert_each_was_stored_once()
