"""Sending, on the real mailbox: what an ack says, what is refused, and when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.layers import InMemoryChannelLayer

from construct_site.errors import ConstructError, ErrorCode
from construct_site.metrics.table import Metric
from messaging import contacts
from messaging.connection import Connection
from messaging.hub import Hub
from messaging.layer import DoorbellLayer
from messaging.mailbox.mailbox import Mailbox
from messaging.mailbox.sealing import KeyRing, Names
from messaging.protocol import codec
from messaging.protocol.messages import Ack, ChatMessage
from messaging.relay import Relay
from tests.messaging.doubles import PATIENCE_S, RecordingSocket, chat_message, identity, until
from tests.messaging.mailbox.conftest import make_recipient

SENDER = UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77")
NOW = datetime(2026, 11, 23, 12, 34, 56, 789, tzinfo=UTC)
MakeRelay = Callable[..., Relay]


@pytest.fixture
def recipient(transactional_db: None) -> UUID:
    return make_recipient("recipient")


@pytest.fixture
def counted() -> list[UUID]:
    """The users whose messages were counted."""
    return []


@pytest.fixture
def accepted() -> list[tuple[UUID, UUID]]:
    """Who is to be accepted by whom: the sender, and to whom they wrote."""
    return []


@pytest.fixture
async def make_relay(
    mailbox: Mailbox, keys: KeyRing, counted: list[UUID], accepted: list[tuple[UUID, UUID]]
) -> AsyncIterator[MakeRelay]:
    hubs: list[Hub] = []

    def make(layer: Any = None, doorbell_s: float = PATIENCE_S, *, tells_presence: bool = True) -> Relay:
        hubs.append(Hub(mailbox, keys, layer or InMemoryChannelLayer()))
        hubs[-1].start()
        names = Names([bytes(range(32))])
        return Relay(
            mailbox,
            hubs[-1],
            keys,
            names,
            lambda user_id, _per_hour: counted.append(user_id),
            NOW.timestamp,
            lambda user_id, peer_id: accepted.append((user_id, peer_id)),
            doorbell_s,
            tells_presence,
        )

    yield make
    for hub in hubs:
        await hub.close()


@pytest.fixture
async def relay(make_relay: MakeRelay) -> Relay:
    return make_relay()


async def online(hub: Hub, user_id: UUID) -> tuple[Connection, RecordingSocket]:
    """A connection of the user that has everything that waits."""
    socket = RecordingSocket()
    connection = Connection(identity(user_id), socket, hub)
    await hub.attach(connection)
    connection.begin()
    await until(lambda: connection.knows_all)
    return connection, socket


async def refusal(sending: Any) -> ErrorCode:
    with pytest.raises(ConstructError) as raised:
        await sending
    return raised.value.code


def refusal_at_once(relay: Relay, sender_id: UUID, message: ChatMessage) -> ErrorCode:
    with pytest.raises(ConstructError) as raised:
        relay.send(sender_id, message)
    return raised.value.code


class TestRefusals:
    async def test_a_foreign_sender_is_refused_before_anything(
        self, relay: Relay, counted: list[UUID], mailbox: Mailbox, recipient: UUID
    ) -> None:
        for to in (recipient, uuid4()):
            assert refusal_at_once(relay, uuid4(), chat_message(SENDER, to)) is ErrorCode.FORBIDDEN
        assert counted == []
        assert (await mailbox.count(recipient))[0] == 0

    async def test_over_the_limit_nothing_is_stored(
        self, relay: Relay, mailbox: Mailbox, recipient: UUID
    ) -> None:
        def refuse(_user_id: UUID, _per_hour: int | None) -> None:
            raise ConstructError(ErrorCode.RATE_LIMIT_EXCEEDED)

        limited = replace(relay, count_message=refuse)
        code = refusal_at_once(limited, SENDER, chat_message(SENDER, recipient))
        assert code is ErrorCode.RATE_LIMIT_EXCEEDED
        assert (await mailbox.count(recipient))[0] == 0

    async def test_nobody_is_not_written_to(self, relay: Relay) -> None:
        assert await refusal(relay.send(SENDER, chat_message(SENDER, uuid4()))) is ErrorCode.USER_NOT_FOUND

    async def test_a_full_mailbox_takes_no_more(
        self, relay: Relay, mailbox: Mailbox, recipient: UUID
    ) -> None:
        for _ in range(10):
            await relay.send(SENDER, chat_message(SENDER, recipient))
        assert await refusal(relay.send(SENDER, chat_message(SENDER, recipient))) is ErrorCode.MAILBOX_FULL
        assert (await mailbox.count(recipient))[0] == 10

    @pytest.mark.parametrize("change", [{"message_number": 1}, {"content": "BBBB"}])
    async def test_another_message_under_the_same_id_is_refused(
        self, relay: Relay, mailbox: Mailbox, recipient: UUID, change: dict[str, Any]
    ) -> None:
        first = chat_message(SENDER, recipient)
        await relay.send(SENDER, first)
        # As a client would send it: a fresh record with the same id.
        fields = {name: getattr(first, name) for name in first.__struct_fields__}
        second = ChatMessage(**{**fields, **change})
        assert await refusal(relay.send(SENDER, second)) is ErrorCode.DUPLICATE_MESSAGE
        assert (await mailbox.count(recipient))[0] == 1

    async def test_the_senders_message_is_counted(
        self, relay: Relay, counted: list[UUID], recipient: UUID
    ) -> None:
        await relay.send(SENDER, chat_message(SENDER, recipient))
        assert counted == [SENDER]


async def test_a_message_counts_as_relayed_once_it_is_stored_and_not_again(
    relay: Relay, recipient: UUID, newly_counted: Callable[[], Counter[Metric]]
) -> None:
    message = chat_message(SENDER, recipient)
    for _ in range(2):
        await relay.send(SENDER, message)
    await refusal(relay.send(SENDER, chat_message(SENDER, uuid4())))
    assert newly_counted() == {Metric.MESSAGES_RELAYED: 1}


class TestAck:
    async def test_it_carries_the_id_as_written_and_the_servers_time(
        self, relay: Relay, recipient: UUID
    ) -> None:
        shouted = str(uuid4()).upper()
        ack = await relay.send(SENDER, chat_message(SENDER, recipient, message_id=shouted))
        assert ack == Ack(message_id=shouted, status="queued", timestamp=int(NOW.timestamp()))

    async def test_to_an_offline_recipient_it_says_queued_and_the_row_opens_again(
        self, relay: Relay, mailbox: Mailbox, keys: KeyRing, recipient: UUID
    ) -> None:
        message = chat_message(SENDER, recipient)
        assert (await relay.send(SENDER, message)).status == "queued"
        (row,) = (await mailbox.page(recipient, [], 10, 10**6)).rows
        assert keys.decrypt(row.sealed, recipient.bytes, row.name) == codec.encode(message)

    async def test_to_a_live_recipient_it_says_delivered(self, relay: Relay, recipient: UUID) -> None:
        _, socket = await online(relay.hub, recipient)
        message = chat_message(SENDER, recipient)
        assert (await relay.send(SENDER, message)).status == "delivered"
        assert socket.frames == [codec.encode(message)]

    async def test_where_presence_is_not_told_every_ack_says_queued(
        self, make_relay: MakeRelay, recipient: UUID
    ) -> None:
        relay = make_relay(tells_presence=False)
        connection, socket = await online(relay.hub, recipient)
        message = chat_message(SENDER, recipient)
        assert [(await relay.send(SENDER, message)).status for _ in range(2)] == ["queued"] * 2
        connection.pong(socket.pings[-1])
        await until(lambda: not list(connection.not_to_page))
        assert (len(socket.frames), (await relay.send(SENDER, message)).status) == (1, "queued")

    async def test_ids_in_upper_case_reach_the_same_recipient(self, relay: Relay, recipient: UUID) -> None:
        _, socket = await online(relay.hub, recipient)
        quiet = chat_message(SENDER, recipient)
        fields = {name: getattr(quiet, name) for name in quiet.__struct_fields__}
        shouted = ChatMessage(
            **{**fields, "recipient": str(recipient).upper(), "sender": str(SENDER).upper()}
        )
        assert (await relay.send(SENDER, shouted)).status == "delivered"
        assert socket.frames == [codec.encode(shouted)]
        repeated = await relay.send(SENDER, quiet)
        assert repeated.status == "delivered"
        assert len(socket.frames) == 1

    async def test_a_full_window_is_not_delivery(self, relay: Relay, recipient: UUID, settings: Any) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, window_messages=1)
        _, socket = await online(relay.hub, recipient)
        statuses = [(await relay.send(SENDER, chat_message(SENDER, recipient))).status for _ in range(2)]
        assert statuses == ["delivered", "queued"]
        assert len(socket.frames) == 1

    async def test_messages_sent_at_once_are_handed_in_their_order(
        self, relay: Relay, recipient: UUID
    ) -> None:
        _, socket = await online(relay.hub, recipient)
        messages = [chat_message(SENDER, recipient, number=number) for number in range(10)]
        acks = await asyncio.gather(*(relay.send(SENDER, message) for message in messages))
        assert [ack.status for ack in acks] == ["delivered"] * 10
        assert socket.frames == [codec.encode(message) for message in messages]


class TestContacts:
    async def test_who_is_blocked_gets_the_ack_of_others_and_is_not_written(
        self, relay: Relay, recipient: UUID
    ) -> None:
        blocked = await asyncio.to_thread(make_recipient, "blocked")
        await asyncio.to_thread(contacts.block, recipient, blocked)
        connection, socket = await online(relay.hub, recipient)
        message = chat_message(blocked, recipient)
        assert [(await relay.send(blocked, message)).status for _ in range(2)] == ["delivered"] * 2
        assert (socket.frames, len(list(connection.not_to_page))) == ([], 1)
        connection.pong(socket.pings[-1])
        await until(lambda: not list(connection.not_to_page))
        assert (await relay.send(blocked, message)).status == "delivered"
        assert socket.frames == []

    async def test_a_request_is_queued_and_handed_to_nobody(self, relay: Relay, recipient: UUID) -> None:
        await asyncio.to_thread(contacts.set_accepted_only, recipient, True)
        connection, socket = await online(relay.hub, recipient)
        message = chat_message(SENDER, recipient)
        assert [(await relay.send(SENDER, message)).status for _ in range(2)] == ["queued"] * 2
        assert (socket.frames, list(connection.not_to_page)) == ([], [])

    async def test_whom_one_writes_to_is_to_be_accepted_where_only_accepted_people_may_write(
        self, relay: Relay, recipient: UUID, accepted: list[tuple[UUID, UUID]]
    ) -> None:
        sender = await asyncio.to_thread(make_recipient, "sender")
        await relay.send(sender, chat_message(sender, recipient))
        assert accepted == []
        await asyncio.to_thread(contacts.set_accepted_only, sender, True)
        await relay.send(sender, chat_message(sender, recipient))
        await relay.send(sender, chat_message(sender, sender))
        assert accepted == [(sender, recipient)]
        message = chat_message(sender, recipient)
        for _ in range(2):
            await relay.send(sender, message)
        assert accepted == [(sender, recipient)] * 3
        await asyncio.to_thread(contacts.accept, sender, recipient)
        await relay.send(sender, chat_message(sender, recipient))
        assert accepted == [(sender, recipient)] * 3


class TestRepeats:
    async def test_one_that_waits_is_queued_again(
        self, relay: Relay, mailbox: Mailbox, recipient: UUID
    ) -> None:
        message = chat_message(SENDER, recipient)
        statuses = [(await relay.send(SENDER, message)).status for _ in range(2)]
        assert statuses == ["queued", "queued"]
        assert (await mailbox.count(recipient))[0] == 1

    async def test_one_that_a_live_connection_has_is_delivered_and_not_handed_twice(
        self, relay: Relay, recipient: UUID
    ) -> None:
        _, socket = await online(relay.hub, recipient)
        message = chat_message(SENDER, recipient)
        statuses = [(await relay.send(SENDER, message)).status for _ in range(2)]
        assert statuses == ["delivered", "delivered"]
        assert len(socket.frames) == 1

    async def test_one_that_was_confirmed_is_delivered(
        self, relay: Relay, mailbox: Mailbox, recipient: UUID
    ) -> None:
        connection, socket = await online(relay.hub, recipient)
        message = chat_message(SENDER, recipient)
        await relay.send(SENDER, message)
        connection.pong(socket.pings[-1])
        await until(lambda: not list(connection.not_to_page))
        relay.hub.detach(connection)
        assert (await relay.send(SENDER, message)).status == "delivered"
        assert (await mailbox.count(recipient))[0] == 0
        assert len(socket.frames) == 1


class TestOtherProcesses:
    async def test_a_recipient_on_another_process_is_delivered_to(
        self, make_relay: MakeRelay, layers: tuple[DoorbellLayer, DoorbellLayer], recipient: UUID
    ) -> None:
        here, there = make_relay(layers[0]), make_relay(layers[1])
        _, socket = await online(there.hub, recipient)
        messages = [chat_message(SENDER, recipient, number=number) for number in range(3)]
        for message in messages:
            assert (await here.send(SENDER, message)).status == "delivered"
        await until(lambda: len(socket.frames) == 3)
        assert socket.frames == [codec.encode(message) for message in messages]

    async def test_nobody_there_is_queued(
        self, make_relay: MakeRelay, layers: tuple[DoorbellLayer, DoorbellLayer], recipient: UUID
    ) -> None:
        here = make_relay(layers[0])
        make_relay(layers[1])
        assert (await here.send(SENDER, chat_message(SENDER, recipient))).status == "queued"

    async def test_the_own_process_hearing_its_ring_is_not_delivery(
        self,
        make_relay: MakeRelay,
        layers: tuple[DoorbellLayer, DoorbellLayer],
        recipient: UUID,
        settings: Any,
    ) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, window_messages=1)
        here = make_relay(layers[0])
        await online(here.hub, recipient)
        statuses = [(await here.send(SENDER, chat_message(SENDER, recipient))).status for _ in range(2)]
        assert statuses == ["delivered", "queued"]

    async def test_a_repeat_has_the_other_process_look(
        self, make_relay: MakeRelay, layers: tuple[DoorbellLayer, DoorbellLayer], recipient: UUID
    ) -> None:
        here, there = make_relay(layers[0]), make_relay(layers[1])
        _, socket = await online(there.hub, recipient)
        message = chat_message(SENDER, recipient)
        # Its ring is lost: it is stored through a process that reaches nobody.
        await make_relay().send(SENDER, message)
        assert (await here.send(SENDER, message)).status == "delivered"
        await until(lambda: bool(socket.frames))
        assert socket.frames == [codec.encode(message)]

    async def test_the_ack_waits_no_longer_for_a_channel_layer_that_hangs(
        self, make_relay: MakeRelay, recipient: UUID
    ) -> None:
        class HangingLayer(InMemoryChannelLayer):  # type: ignore[misc] # channels carries no types
            async def ring_many(self, rings: list[Any]) -> list[int]:
                await asyncio.Event().wait()
                return [0] * len(rings)

            def listen(self, *_listeners: Any) -> None:
                pass

        relay = make_relay(HangingLayer(), doorbell_s=0.05)
        started_at = asyncio.get_running_loop().time()
        ack = await asyncio.wait_for(relay.send(SENDER, chat_message(SENDER, recipient)), PATIENCE_S)
        assert ack.status == "queued"
        assert asyncio.get_running_loop().time() - started_at < 1
