"""A server process that is killed loses nothing that it acked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.faults.cluster import Cluster
from tests.faults.crowd import Crowd
from tests.faults.ledger import Verdict
from tests.faults.sizes import Size

ABNORMAL = None


async def test_clients_of_a_killed_server_go_on_elsewhere_and_nothing_is_lost(
    cluster: Cluster, crowd: Crowd, size: Size, report: Callable[[Verdict], None]
) -> None:
    async with crowd.talking(size.per_s):
        for _ in range(2 * size.rounds):
            await asyncio.sleep(size.calm_s)
            await cluster.kill(cluster.servers[0])
            await cluster.start()
            await crowd.connected()
        await asyncio.sleep(size.calm_s)
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}
    assert crowd.close_codes[ABNORMAL] >= size.accounts, "every client lost its server at least once"
    assert crowd.sent_again > 0, "some sends were under way"
    assert crowd.errors == {}
