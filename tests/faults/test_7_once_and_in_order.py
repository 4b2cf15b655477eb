"""A message is delivered once and in its place, however often, from wherever and beside whatever it is sent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import psycopg
import pytest

from tests.faults.cluster import Cluster, away
from tests.faults.crowd import Crowd, Device, until
from tests.faults.ledger import Verdict
from tests.faults.sizes import Size
from tests.live.dialogue import WAIT_S, Dialogue, chat_message, chat_messages, code_of
from tests.live.nodes import Sockets
from tests.services import RedisServer

Report = Callable[[Verdict], None]

HOP_S = 0.15
REPEATS = 20
REST_S = 0.004
"""After each message: half of what is sent to the slow reader can it read in the same time."""
SLACK = 3
MOMENTS = 3
WRITE_S = 0.3
"""Time in which a server writes what it was sent into the database."""
STUB_S = 1.0
"""Time in which the last confirmations reach the database."""


@pytest.fixture
async def sockets(cluster: Cluster) -> AsyncIterator[Sockets]:
    async with Sockets(cluster.servers[0], cluster.factory.private) as opened:
        yield opened


async def hop(senders: list[Device], for_s: float) -> None:
    """Cut one sender's connection after the other; each comes back on the other server."""
    async with asyncio.timeout(for_s):
        while True:
            await asyncio.sleep(HOP_S)
            random.choice(senders).drop()


async def test_who_hops_between_servers_and_sends_everything_again_is_delivered_once(
    cluster: Cluster, crowd: Crowd, size: Size, report: Report
) -> None:
    stayers = list(crowd.devices)
    hoppers = [
        crowd.add(person, cluster.port, repeats=REPEATS)
        for person in await cluster.accounts(size.accounts // 2)
    ]
    await crowd.connected()
    async with crowd.talking(size.per_s, hoppers, [each.person for each in stayers]):
        with pytest.raises(TimeoutError):
            await hop(hoppers, 4 * size.rounds * size.calm_s)
    verdict = await crowd.settle()
    for hopper in hoppers:
        hopper.repeat_acked()
    await asyncio.sleep(STUB_S)
    for hopper in hoppers:
        hopper.drop()
    await crowd.connected()
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}
    assert verdict.again == 0, "the recipients never went away"
    assert crowd.errors == {}
    assert sum(each.repeated for each in hoppers) > REPEATS * len(hoppers)
    assert crowd.sent_again > 0


async def test_a_sender_who_changes_the_server_with_each_message_is_read_in_order(
    cluster: Cluster, sockets: Sockets, size: Size
) -> None:
    here, there = cluster.servers
    alice, a = await sockets.register(here)
    alices = cycle([alice, await sockets.resume(a, there)])
    bob, b = await sockets.register(here)
    elsewhere = await sockets.resume(b, there)
    sent = chat_messages(a, b, size.accounts * 20)
    for message, each in zip(sent, alices, strict=False):
        await each.send(message)
    for recipient in (bob, elsewhere):
        assert await recipient.messages(len(sent)) == sent


async def test_of_two_sockets_on_two_servers_the_slow_one_gets_everything_too(
    cluster: Cluster, crowd: Crowd, size: Size, report: Report
) -> None:
    senders = list(crowd.devices)
    (person,) = await cluster.accounts(1)
    fast = crowd.add(person, lambda _attempt: cluster.servers[0].port)
    slow = crowd.add(person, lambda _attempt: cluster.servers[1].port, rest_s=REST_S)
    await crowd.connected()
    async with crowd.talking(2 / REST_S, senders, [person]):
        await until(lambda: len(crowd.ledger.sent) >= size.many, size.timeout_s)
    await until(lambda: not crowd.ledger.missing_on(fast.name), WAIT_S)
    assert crowd.ledger.missing_on(slow.name), "the slow one is behind"
    await until(lambda: not crowd.ledger.missing_on(slow.name), SLACK * size.many * REST_S)
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}
    assert verdict.again == 0
    assert crowd.close_codes == {}


@contextmanager
def commits_held_up(url: str) -> Iterator[None]:
    """Whoever writes into the mailbox has written, and cannot commit before the end of the context."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END'"
        )
        connection.execute(
            "CREATE TRIGGER wait_for_test AFTER INSERT ON messaging_mailboxmessage"
            " EXECUTE FUNCTION wait_for_test()"
        )
        try:
            connection.execute("SELECT pg_advisory_lock(1)")
            try:
                yield
            finally:
                connection.execute("SELECT pg_advisory_unlock(1)")
        finally:
            connection.execute("DROP FUNCTION wait_for_test CASCADE")


async def test_what_two_servers_store_at_the_same_moment_keeps_its_order(
    cluster: Cluster, sockets: Sockets, valkey: RedisServer
) -> None:
    """One server is about to commit a message when its sender, cut off, sends it and the next one to the other.

    No ring helps: the channel layer is away.
    """
    here, there = cluster.servers
    url = cluster.factory.backing.environment["DATABASE_URL"]
    alice, a = await sockets.register(here)
    bob, b = await sockets.register(there)
    again, _ = await sockets.open_raw(there, answers_pings=True)
    await again.connect(a)
    for _ in range(MOMENTS):
        first, second = chat_messages(a, b, 2)
        async with away(valkey.kill, valkey.start):
            with commits_held_up(url):
                await alice.tell("sendMessage", first)
                await asyncio.sleep(WRITE_S)
                # Written together, they go into one batch.
                await asyncio.gather(again.tell("sendMessage", first), again.tell("sendMessage", second))
                await asyncio.sleep(WRITE_S)
            assert await answers(alice, 1) == ["ack"]
            assert await answers(again, 2) == ["ack", "ack"]
            assert await bob.messages(2) == [first, second]


@contextmanager
def writes_held_up(url: str) -> Iterator[None]:
    """Nobody else writes into the mailbox: what is sent meanwhile goes down in one batch afterwards."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE messaging_mailboxmessage IN EXCLUSIVE MODE")
        yield


@contextmanager
def refused_rows(url: str, size: int) -> Iterator[None]:
    """The database refuses every row whose frame has more bytes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"ALTER TABLE messaging_mailboxmessage ADD CONSTRAINT refused CHECK (size < {size})".encode()
        )
        try:
            yield
        finally:
            connection.execute("ALTER TABLE messaging_mailboxmessage DROP CONSTRAINT refused")


async def answers(dialogue: Dialogue, count: int) -> list[str]:
    """What each of the next replies says: `ack`, or the code of an error."""
    replies = [await dialogue.reply() for _ in range(count)]
    return [reply["type"] if reply["type"] == "ack" else code_of(reply) for reply in replies]


async def test_of_a_batch_with_one_bad_row_the_others_are_acked_and_delivered(
    cluster: Cluster, sockets: Sockets
) -> None:
    url = cluster.factory.backing.environment["DATABASE_URL"]
    alice, a = await sockets.register()
    carol, c = await sockets.register()
    bob, b = await sockets.register()
    from_alice, from_carol = chat_messages(a, b, 20), chat_messages(c, b, 20)
    bad = chat_message(a, b, size=40_000)
    with refused_rows(url, 50_000):
        with writes_held_up(url):
            for message in [*from_alice[:10], bad, *from_alice[10:]]:
                await alice.tell("sendMessage", message)
            for message in from_carol:
                await carol.tell("sendMessage", message)
            await bob.finish()
        assert await answers(alice, 21) == [*["ack"] * 10, "QUEUE_FAILED", *["ack"] * 10]
        assert await answers(carol, 20) == ["ack"] * 20
    handed = await bob.messages(40)
    assert [message for message in handed if message["from"] == a.user_id] == from_alice
    assert [message for message in handed if message["from"] == c.user_id] == from_carol
    await alice.send(bad)
    assert await bob.message() == bad, "the same message is taken once the database takes it"
