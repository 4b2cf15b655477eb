"""A message that is sent again is one message: `(sender, recipient, id)` names it, on every process."""

from __future__ import annotations

import asyncio
import base64
import secrets

import pytest

from tests.live.dialogue import Frame, Person, chat_message, chat_messages
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets
from tests.live.server import Server, ServerFactory

ROTATION_SETTINGS = {
    **SHARED_SETTINGS,
    "CONSTRUCT_MAILBOX_MESSAGES": "40",
    "CONSTRUCT_MAILBOX_SENDER_SHARE": "8",
}
SENDER_SHARE = 5


async def test_a_repeat_to_someone_absent_is_delivered_once(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    elsewhere = await sockets.resume(a, nodes.there)
    b = await sockets.register_absent()
    message, last = chat_message(a, b), chat_message(a, b)
    await alice.send_to_absent(message)
    assert await alice.send(message) == "queued"
    assert await elsewhere.send(message) == "queued"
    await alice.send(last)
    bob = await sockets.resume(b, nodes.there)
    assert await bob.messages(2) == [message, last]


async def test_a_repeat_to_someone_present_is_delivered_once(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    elsewhere = await sockets.resume(a, nodes.there)
    b = await sockets.register_absent()
    bob, _ = await sockets.open_raw(nodes.there)
    await bob.connect(b)
    message, last = chat_message(a, b), chat_message(a, b)
    for sender in (alice, alice, elsewhere):
        await sender.send_to_present(message)
    await alice.send(last)
    assert await bob.messages(2) == [message, last]


async def test_repeats_written_at_once_are_all_acked_and_delivered_once(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    message, last = chat_message(a, b), chat_message(a, b)
    for _ in range(20):
        await alice.tell("sendMessage", message)
    replies = [await alice.reply() for _ in range(20)]
    assert {reply["type"] for reply in replies} == {"ack"}
    assert {reply["payload"]["messageId"] for reply in replies} == {message["id"]}
    await alice.send(last)
    assert await bob.messages(2) == [message, last]


async def test_a_repeat_after_the_confirmation_is_acked_and_not_delivered(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    elsewhere = await sockets.resume(a, nodes.there)
    bob, b = await sockets.register()
    message, last = chat_message(a, b), chat_message(a, b)
    await alice.send(message)
    assert await bob.message() == message
    await nodes.confirmed(b)
    await bob.close()
    assert [await sender.send(message) for sender in (alice, elsewhere)] == ["delivered"] * 2
    await alice.send(last)
    assert await (await sockets.resume(b)).message() == last


async def test_ids_are_compared_as_uuids_and_acked_as_written(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    message, last = chat_message(a, b), chat_message(a, b)
    upper = message | {name: message[name].upper() for name in ("id", "from", "to")}
    await alice.send(message)
    await alice.send(upper)
    await alice.send(last)
    assert await bob.messages(2) == [message, last]


async def test_another_timestamp_is_still_a_repeat(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    message, last = chat_message(a, b), chat_message(a, b)
    await alice.send(message)
    await alice.send(message | {"timestamp": 0})
    await alice.send(last)
    assert await bob.messages(2) == [message, last]


@pytest.mark.parametrize(
    "difference",
    [{"content": "AAAA"}, {"messageNumber": 2}, {"ephemeralPublicKey": bytes(32)}],
    ids=lambda difference: next(iter(difference)),
)
@pytest.mark.parametrize("is_confirmed", [False, True], ids=["waiting", "confirmed"])
async def test_another_body_under_the_same_id_is_refused(
    difference: dict[str, object], is_confirmed: bool, nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    elsewhere = await sockets.resume(a, nodes.there)
    b = await sockets.register_absent()
    message, last = chat_message(a, b), chat_message(a, b)
    await alice.send(message)
    if is_confirmed:
        bob = await sockets.resume(b)
        assert await bob.message() == message
        await nodes.confirmed(b)
        await bob.close()
    for sender in (alice, elsewhere):
        assert await sender.refusal("sendMessage", message | difference) == "DUPLICATE_MESSAGE"
    await alice.send(last)
    bob = await sockets.resume(b)
    assert await bob.messages(1 if is_confirmed else 2) == ([last] if is_confirmed else [message, last])


async def test_the_same_id_to_and_from_others_is_another_message(sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register()
    carol, c = await sockets.register()
    to_bob = chat_message(a, b)
    to_carol = chat_message(a, c, id=to_bob["id"])
    from_carol = chat_message(c, b, id=to_bob["id"])
    await alice.send(to_bob)
    await alice.send(to_carol)
    await carol.send(from_carol)
    assert await bob.messages(2) == [to_bob, from_carol]
    assert await carol.message() == to_carol


class Rotation:
    """The dedup keys of a rotation, and servers in its steps."""

    def __init__(self, start: ServerFactory) -> None:
        self._start = start
        self._old, self._new = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
        start.private |= {self._old, self._new}

    def before(self) -> Server:
        return self._start(**ROTATION_SETTINGS, CONSTRUCT_DEDUP_KEY=self._old)

    def prepared(self) -> Server:
        return self._with(self._old, further=self._new)

    def switched(self) -> Server:
        return self._with(self._new, further=self._old)

    def _with(self, key: str, further: str) -> Server:
        keys = {"CONSTRUCT_DEDUP_KEY": key, "CONSTRUCT_FURTHER_DEDUP_KEYS": further}
        return self._start(**ROTATION_SETTINGS, **keys)


async def send_confirmed(sockets: Sockets, nodes: Nodes) -> tuple[Person, Frame]:
    """A new sender, and a message of theirs to themselves that was received and confirmed."""
    socket, person = await sockets.register()
    message = chat_message(person, person)
    await socket.send(message)
    assert await socket.message() == message
    await nodes.confirmed(person)
    return person, message


async def test_after_a_rotation_of_the_dedup_key_a_message_is_still_one(
    server_process: ServerFactory,
) -> None:
    rotation = Rotation(server_process)
    before = rotation.before()
    nodes = Nodes(server_process.backing, before, before, server_process.private)
    async with Sockets(before, server_process.private) as sockets:
        a, confirmed = await send_confirmed(sockets, nodes)
        alice = await sockets.resume(a)
        b = await sockets.register_absent()
        kept = chat_messages(a, b, SENDER_SHARE - 2)
        for message in kept:
            await alice.send_to_absent(message)
    assert before.stop() == 0
    async with Sockets(rotation.switched(), server_process.private) as sockets:
        alice = await sockets.resume(a)
        assert [await alice.send(message) for message in kept] == ["queued"] * len(kept)
        assert await alice.send(confirmed) == "delivered"
        for message in (kept[0], confirmed):
            assert await alice.refusal("sendMessage", message | {"content": "AAAA"}) == "DUPLICATE_MESSAGE"
        fresh = chat_messages(a, b, 2)
        for message in fresh:
            assert await alice.send(message) == "queued"
        assert await alice.refusal("sendMessage", chat_message(a, b)) == "MAILBOX_FULL"
        bob = await sockets.resume(b)
        assert await bob.messages(SENDER_SHARE) == [*kept, *fresh]
        await nodes.confirmed(b)
        to_bob, to_self = chat_message(a, b), chat_message(a, a)
        await alice.send_to_present(to_bob)
        await alice.send(to_self)
        assert await bob.message() == to_bob
        assert await alice.message() == to_self, "what was confirmed did not come again"


@pytest.mark.parametrize("backing", ["distributed"], indirect=True)
async def test_the_dedup_key_is_rotated_process_by_process_while_messages_are_sent_and_sent_again(
    server_process: ServerFactory,
) -> None:
    rotation = Rotation(server_process)
    here, there = rotation.before(), rotation.before()
    nodes = Nodes(server_process.backing, here, there, server_process.private)
    async with Sockets(here, server_process.private) as sockets:
        a, confirmed = await send_confirmed(sockets, nodes)
        b = await sockets.register_absent()
    sent: list[Frame] = []
    for step in (None, rotation.prepared, rotation.prepared, rotation.switched, rotation.switched):
        if step is not None:
            # The processes take turns: the other one serves on with the keys that it has.
            assert here.stop() == 0
            here, there = there, step()
        async with Sockets(here, server_process.private) as sockets:
            both = [await sockets.resume(a, server) for server in (here, there)]
            sent.append(chat_message(a, b))
            for message in reversed(sent):
                statuses = await asyncio.gather(*(alice.send(message) for alice in both))
                assert statuses == ["queued"] * 2
            assert [await alice.send(confirmed) for alice in both] == ["delivered"] * 2
    assert len(sent) == SENDER_SHARE
    async with Sockets(here, server_process.private) as sockets:
        both = [await sockets.resume(a, server) for server in (here, there)]
        for alice in both:
            assert await alice.refusal("sendMessage", chat_message(a, b)) == "MAILBOX_FULL"
        bob = await sockets.resume(b, there)
        assert await bob.messages(SENDER_SHARE) == sent
        await nodes.confirmed(b)
        to_bob, to_self = chat_message(a, b), chat_message(a, a)
        await both[0].send_to_present(to_bob)
        await both[0].send(to_self)
        assert await bob.message() == to_bob
        assert [await alice.message() for alice in both] == [to_self] * 2, "what was confirmed came once"
