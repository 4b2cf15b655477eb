"""A message that is sent again is one message: `(sender, recipient, id)` names it, on every process."""

from __future__ import annotations

import pytest

from tests.live.dialogue import chat_message
from tests.live.nodes import Nodes, Sockets


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
