"""A server on SQLite whose disk is full answers with errors to retry, and resumes by itself once there is room."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.faults.cluster import Cluster
from tests.faults.crowd import Crowd, until
from tests.faults.ledger import Verdict
from tests.faults.sizes import Size
from tests.live.nodes import query
from tests.live.server import Backing, Server, migrate

ROOM_BYTES = 4096
"""Less than one frame of SQLite's write-ahead log."""
REPLY_S = 3.0
SETTINGS = {"CONSTRUCT_REQUEST_S": str(REPLY_S)}
SLACK = 3


@pytest.fixture(scope="module")
def backing(tmp_path_factory: pytest.TempPathFactory) -> Backing:
    made = Backing("embedded", {"CONSTRUCT_DATA_DIR": str(tmp_path_factory.mktemp("data"))})
    migrate(made)
    return made


@contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """No file of the server's can grow beyond its first bytes: writes fail as on a full disk."""
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_an_error_to_retry_and_the_service_resumes_by_itself(
    cluster: Cluster, crowd: Crowd, size: Size, report: Callable[[Verdict], None]
) -> None:
    (server,) = cluster.servers
    async with crowd.talking(size.per_s):
        for _ in range(size.rounds):
            await asyncio.sleep(size.calm_s)
            crowd_errors = crowd.errors["QUEUE_FAILED"]
            with full_disk(server):
                await asyncio.sleep(0.5)
                acked = len(crowd.ledger.acked)
                await until(lambda: crowd.errors["QUEUE_FAILED"] > crowd_errors, SLACK * REPLY_S)  # noqa: B023
                assert len(crowd.ledger.acked) == acked, "nothing can be stored"
            await until(lambda: len(crowd.ledger.acked) > acked, SLACK * REPLY_S)  # noqa: B023
        await asyncio.sleep(size.calm_s)
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}
    stored = query(cluster.factory.backing, "SELECT count(*) FROM messaging_mailboxmessage")
    assert stored == [(verdict.sent,)]
    assert set(crowd.errors) == {"QUEUE_FAILED"}
    assert crowd.slowest_reply_s < SLACK * REPLY_S
    assert cluster.servers == [server]
    assert server.process.poll() is None
