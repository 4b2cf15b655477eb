"""SIGTERM under load: every client is told to come back, nothing acked is lost, the process ends in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.faults.cluster import Cluster
from tests.faults.crowd import Crowd
from tests.faults.ledger import Verdict
from tests.faults.sizes import Size

RESTARTING = 1012
DRAIN_S = 3.0
SETTINGS = {"CONSTRUCT_DRAIN_S": str(DRAIN_S)}
SLACK = 3


async def test_every_client_sees_1012_and_the_servers_end_in_order(
    cluster: Cluster, crowd: Crowd, size: Size, report: Callable[[Verdict], None]
) -> None:
    async with crowd.talking(size.per_s):
        for turn in range(1, size.rounds + 1):
            await asyncio.sleep(size.calm_s)
            begin = time.monotonic()
            ends = [cluster.terminate(server, SLACK * DRAIN_S) for server in list(cluster.servers)]
            assert await asyncio.gather(*ends) == [0, 0]
            assert time.monotonic() - begin < SLACK * DRAIN_S
            assert crowd.close_codes == {RESTARTING: turn * size.accounts}
            await asyncio.gather(cluster.start(), cluster.start())
            await crowd.connected()
        await asyncio.sleep(size.calm_s)
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}
    assert crowd.errors == {}
