"""The node of an event loop: made once, closed with everything it started."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from construct_site.database import run_in_database_thread
from construct_site.metrics.models import HourlyMetric
from construct_site.metrics.store import count_connections, processes
from construct_site.metrics.table import Metric
from messaging import contacts
from messaging.connection import Connection
from messaging.models import Chore
from messaging.node import get_node
from tests.messaging.conftest import Amounts
from tests.messaging.doubles import PATIENCE_S, RecordingSocket, chat_message, until
from tests.messaging.doubles import identity as make_identity
from tests.messaging.mailbox.conftest import make_recipient

SENDER = uuid4()


@pytest.fixture
def recipient(transactional_db: None) -> UUID:
    return make_recipient("recipient")


async def tasks() -> set[asyncio.Task[object]]:
    """The tasks of this loop that have something to do yet, but for this one."""
    await asyncio.sleep(0)
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_a_loop_has_one_node(recipient: UUID) -> None:
    node = get_node()
    try:
        assert get_node() is node
    finally:
        await node.close()
    another = get_node()
    try:
        assert another is not node
    finally:
        await another.close()


def test_two_loops_have_two_nodes(recipient: UUID) -> None:
    async def made() -> int:
        node = get_node()
        try:
            return id(node.hub)
        finally:
            await node.close()

    assert asyncio.run(made()) != 0
    with pytest.raises(RuntimeError, match="no running event loop"):
        get_node()


async def test_its_parts_work_together(recipient: UUID) -> None:
    node = get_node()
    try:
        ack = await asyncio.wait_for(node.relay.send(SENDER, chat_message(SENDER, recipient)), PATIENCE_S)
        assert ack.status == "queued"
    finally:
        await node.close()


async def test_closing_ends_every_task_and_thread_of_its_own(recipient: UUID) -> None:
    before = await tasks()
    node = get_node()
    await node.relay.send(SENDER, chat_message(SENDER, recipient))
    assert await tasks() - before
    await asyncio.wait_for(node.close(), PATIENCE_S)
    assert await tasks() - before == set()
    assert not [each.name for each in threading.enumerate() if each.name.startswith("mailbox-")]


async def test_it_keeps_house(recipient: UUID, amounts: Amounts) -> None:
    amounts(housekeeping_s=0.01)
    node = get_node()
    try:
        await until(lambda: run_in_database_thread(Chore.objects.exists))
    finally:
        await node.close()
    names = await run_in_database_thread(lambda: list(Chore.objects.values_list("name", flat=True)))
    assert "expire_mailbox" in names


async def test_a_person_who_is_written_to_is_accepted_once_at_a_time_and_before_the_node_ends(
    recipient: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = await asyncio.to_thread(make_recipient, "sender")
    await asyncio.to_thread(contacts.set_accepted_only, sender, True)
    accept, asked, gate = contacts.accept, list[tuple[UUID, UUID]](), threading.Event()

    def slow(user_id: UUID, peer_id: UUID) -> None:
        asked.append((user_id, peer_id))
        gate.wait(PATIENCE_S)
        accept(user_id, peer_id)

    monkeypatch.setattr(contacts, "accept", slow)
    node = get_node()
    try:
        for _ in range(3):
            await node.relay.send(sender, chat_message(sender, recipient))
        await until(lambda: bool(asked))
    finally:
        closing = asyncio.create_task(node.close())
        await asyncio.sleep(0)
        gate.set()
        await closing
    assert asked == [(sender, recipient)]
    assert [each.id for each in await asyncio.to_thread(contacts.accepted_people, sender)] == [recipient]


async def test_it_tells_its_connections_and_stores_what_it_counted_before_it_ends(
    recipient: UUID, amounts: Amounts, newly_counted: Callable[[], Counter[Metric]]
) -> None:
    amounts(metrics_flush_s=0.01)
    node = get_node()
    try:
        identity = make_identity(recipient)
        await node.hub.attach(Connection(identity, RecordingSocket(), node.hub))

        async def tells() -> bool:
            return await run_in_database_thread(count_connections, timezone.now()) == 1

        await until(tells)
        amounts(metrics_flush_s=60)
        await node.relay.send(SENDER, chat_message(SENDER, recipient))
    finally:
        await node.close()
    relayed = HourlyMetric.objects.filter(metric=Metric.MESSAGES_RELAYED)
    assert await run_in_database_thread(lambda: [row.value for row in relayed]) == [1]
    assert await run_in_database_thread(processes, timezone.now()) == {}
    assert newly_counted() == {}
