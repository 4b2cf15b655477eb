"""The channel layer is a doorbell: while it is away, and once it is back and empty, nothing is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tests.faults.cluster import Cluster, away
from tests.faults.crowd import Crowd, Device, until
from tests.faults.ledger import Verdict
from tests.faults.sizes import Size
from tests.live.dialogue import chat_message
from tests.live.nodes import Sockets, run_in_another_process
from tests.services import RedisServer

UNAUTHENTICATED = 4401
SUSPENDED = 4403
CHURN_S = 0.2
ARRIVAL_S = 5.0
"""Longest way of a message once the channel layer is back."""
END_S = 10.0
"""Longest life of a socket whose session was ended in the database alone."""
SLACK = 3


@asynccontextmanager
async def churning(devices: list[Device]) -> AsyncIterator[None]:
    """Within the context devices are cut, or log out and in again, one after another."""

    async def churn() -> None:
        while True:
            await asyncio.sleep(CHURN_S)
            random.choice([Device.drop, Device.log_out])(random.choice(devices))

    task = asyncio.create_task(churn())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def end_sessions_behind_the_back(cluster: Cluster, revoked: Device, suspended: Device) -> None:
    """Other processes revoke a session and suspend an account; the channel layer cannot tell anybody."""
    changes = (
        "from accounts import services; from accounts.models import User; from uuid import UUID;"
        f"services.revoke_sessions(UUID({revoked.person.user_id!r}));"
        f"User.objects.filter(pk={suspended.person.user_id!r}).update(is_active=False)"
    )
    await asyncio.to_thread(run_in_another_process, cluster.factory.backing, changes)


async def test_sends_are_acked_while_it_is_away_and_arrive_once_it_is_back(
    cluster: Cluster, crowd: Crowd, size: Size, report: Callable[[Verdict], None], valkey: RedisServer
) -> None:
    everybody = list(crowd.devices)
    revoked, suspended = (crowd.add(person, cluster.port) for person in await cluster.accounts(2))
    before = list(cluster.servers)
    async with crowd.talking(size.per_s, everybody, [each.person for each in everybody]):
        for turn in range(size.rounds):
            await asyncio.sleep(size.calm_s)
            async with away(valkey.kill, valkey.start):
                acked = set(crowd.ledger.acked)
                async with churning(everybody):
                    if turn == 0:
                        await end_sessions_behind_the_back(cluster, revoked, suspended)
                        await until(lambda: revoked.has_expired and suspended.has_expired, SLACK * END_S)
                    await asyncio.sleep(2 * size.calm_s)
                while_away = crowd.ledger.acked.keys() - acked
                assert len(while_away) > size.per_s * size.calm_s, "sends are acked all the while"
            back_at = time.monotonic()
            await until(lambda ids=while_away: not crowd.ledger.missing(ids), SLACK * ARRIVAL_S)  # type: ignore[misc]
            arrived_s = time.monotonic() - back_at
            await asyncio.sleep(size.calm_s)
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}
    assert arrived_s < SLACK * ARRIVAL_S
    assert crowd.errors == {}
    assert sum(each.logins for each in everybody) > 0
    assert (revoked.close_codes, suspended.close_codes) == ({UNAUTHENTICATED: 1}, {SUSPENDED: 1})
    assert cluster.servers == before
    assert all(server.process.poll() is None for server in before), "no server was restarted"


async def test_sockets_that_were_open_all_the_while_are_rung_for_again(
    cluster: Cluster, valkey: RedisServer
) -> None:
    here, there = cluster.servers
    async with Sockets(here, cluster.factory.private) as sockets:
        alice, a = await sockets.register(here)
        bob, b = await sockets.register(there)
        first, last = chat_message(a, b), chat_message(a, b)
        await alice.send_to_present(first)
        async with away(valkey.kill, valkey.start):
            meanwhile = chat_message(a, b)
            assert await alice.send(meanwhile) == "queued", "nobody can say that Bob was handed it"
        assert await bob.messages(2) == [first, meanwhile]
        await alice.send_to_present(last)
        assert await bob.message() == last
