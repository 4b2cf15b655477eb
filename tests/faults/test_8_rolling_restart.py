"""Two servers that are restarted one after the other, under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.faults.cluster import Cluster
from tests.faults.crowd import Crowd
from tests.faults.ledger import Verdict
from tests.faults.sizes import Size

RESTARTING = 1012
DRAIN_S = 4.0
SETTINGS = {"CONSTRUCT_DRAIN_S": str(DRAIN_S)}
SLACK = 3


async def test_clients_move_over_and_back_and_nothing_is_lost(
    cluster: Cluster, crowd: Crowd, size: Size, report: Callable[[Verdict], None]
) -> None:
    async with crowd.talking(size.per_s):
        for _ in range(2 * size.rounds):
            await asyncio.sleep(size.calm_s)
            assert await cluster.terminate(cluster.servers[0], SLACK * DRAIN_S) == 0
            await crowd.connected()
            await cluster.start()
        await asyncio.sleep(size.calm_s)
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}
    assert crowd.errors == {}
    assert set(crowd.close_codes) == {RESTARTING}
