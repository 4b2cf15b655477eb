"""Who reads slowly, or has very much waiting, gets it all in the end and costs the server little memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.faults.cluster import Cluster, growth_of
from tests.faults.crowd import Crowd, until
from tests.faults.ledger import Verdict
from tests.faults.proxy import SlowProxy
from tests.faults.sizes import Size
from tests.live.nodes import waiting

MEBIBYTE = 1024 * 1024
GROWTH_BYTES = 32 * MEBIBYTE
MESSAGES = 200
CONTENT_BYTES = 90 * 1024
MESSAGE_BYTES = CONTENT_BYTES * 3 // 4
RECONNECTS = 3
PATIENCE = 3
"""A connection lives so many times as long as one message takes on it."""
FILLING_PER_S = 10_000


async def test_each_connection_on_a_slow_link_leaves_fewer_messages_waiting(
    cluster: Cluster, crowd: Crowd, size: Size
) -> None:
    here, there = cluster.servers
    (person,) = await cluster.accounts(1)
    sender = crowd.add((await cluster.accounts(1))[0], lambda _attempt: there.port)
    await crowd.connected()
    for _ in range(MESSAGES):
        sender.send(person, size=MESSAGE_BYTES)
    await until(lambda: not sender.unacked, size.timeout_s)
    left = [waiting(cluster.factory.backing, person.user_id)]
    assert left == [MESSAGES]
    async with growth_of(here) as growth:
        with SlowProxy(here.port, size.link_bytes_per_s) as link:
            slow = crowd.add(person, lambda _attempt: link.port)
            for _ in range(RECONNECTS):
                await crowd.connected()
                await asyncio.sleep(PATIENCE * CONTENT_BYTES / size.link_bytes_per_s)
                slow.drop()
                left.append(waiting(cluster.factory.backing, person.user_id))
    assert left == sorted(set(left), reverse=True), "strictly fewer each time"
    assert growth.bytes < GROWTH_BYTES


async def test_a_full_mailbox_is_drained_and_costs_the_server_little_memory(
    cluster: Cluster, crowd: Crowd, size: Size, report: Callable[[Verdict], None]
) -> None:
    (person,) = await cluster.accounts(1)
    async with crowd.talking(FILLING_PER_S, recipients=[person]):
        await until(lambda: len(crowd.ledger.sent) >= size.waiting, size.timeout_s)
    await until(lambda: len(crowd.ledger.acked) == len(crowd.ledger.sent), size.timeout_s)
    assert waiting(cluster.factory.backing, person.user_id) == len(crowd.ledger.sent)
    async with growth_of(cluster.servers[0]) as growth:
        crowd.add(person, lambda _attempt: cluster.servers[0].port)
        verdict = await crowd.settle(size.timeout_s)
    report(verdict)
    assert verdict.faults == {}
    assert growth.bytes < GROWTH_BYTES
