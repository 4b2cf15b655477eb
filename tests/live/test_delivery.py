"""Messages reach their recipients: on either process, at once or later, in order, byte for byte."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.dialogue import Dialogue, Frame, Person, chat_message, chat_messages
from tests.live.nodes import Nodes, Sockets

SETTINGS = {"CONSTRUCT_DOORBELL_S": "5"}
"""A busy machine must not make a `queued` of a `delivered`."""


async def send_all(sender: Dialogue, messages: list[Frame]) -> list[str]:
    """Write everything at once, then read the acks; their statuses."""
    for message in messages:
        await sender.tell("sendMessage", message)
    statuses = []
    for message in messages:
        ack = await sender.reply()
        assert ack["type"] == "ack", ack
        assert ack["payload"]["messageId"] == message["id"]
        statuses.append(ack["payload"]["status"])
    return statuses


async def test_a_message_to_someone_present_is_acked_as_delivered_and_removed(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    first, second = chat_messages(a, b, 2)
    await alice.send_to_present(first)
    assert await bob.message() == first
    await nodes.confirmed(b)
    assert await alice.send(second) == "delivered"
    assert await bob.message() == second
    await nodes.confirmed(b)


async def test_messages_to_someone_absent_are_queued_and_come_in_order(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent(nodes.there)
    sent = chat_messages(a, b, 3)
    await alice.send_to_absent(sent[0])
    assert [await alice.send(message) for message in sent[1:]] == ["queued"] * 2
    bob = await sockets.open(nodes.there)
    await bob.tell("connect", {"sessionToken": b.token})
    frames = [await bob.frame() for _ in range(4)]
    assert [frame["type"] for frame in frames] == ["connectSuccess", "message", "message", "message"]
    assert [frame["payload"] for frame in frames[1:]] == sent
    await nodes.confirmed(b)


async def test_waiting_messages_come_after_a_login_with_the_password_too(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent(nodes.there)
    message = chat_message(a, b)
    await alice.send(message)
    bob = await sockets.open(nodes.there)
    await bob.tell("login", {"username": b.username.upper(), "password": b.password})
    frames = [await bob.frame(), await bob.frame()]
    assert [frame["type"] for frame in frames] == ["loginSuccess", "message"]
    assert frames[1]["payload"] == message


async def test_a_message_to_oneself_comes_back(sockets: Sockets) -> None:
    alice, a = await sockets.register()
    message = chat_message(a, a)
    await alice.send_to_present(message)
    assert await alice.message() == message


async def test_every_socket_of_a_user_gets_a_message_and_one_confirmation_removes_it(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    phone, b = await sockets.register(nodes.here)
    desk = await sockets.resume(b, nodes.there)
    silent, _ = await sockets.open_raw(nodes.there)
    await silent.connect(b)
    message = chat_message(a, b)
    await alice.send_to_present(message)
    assert [await socket.message() for socket in (phone, desk, silent)] == [message] * 3
    await nodes.confirmed(b)
    for socket in (phone, desk, silent):
        await socket.close()
    again, later = await sockets.resume(b, nodes.there), chat_message(a, b)
    await alice.send(later)
    assert await again.message() == later


async def test_both_directions_run_at_once(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    there, back = chat_messages(a, b, 50), chat_messages(b, a, 50)
    await asyncio.gather(send_all(alice, there), send_all(bob, back))
    assert await bob.messages(50) == there
    assert await alice.messages(50) == back


async def test_strings_arrive_as_they_were_written(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    plain = chat_message(a, b)
    upper = plain | {name: plain[name].upper() for name in ("id", "from", "to")}
    await alice.send_to_present(upper)
    assert await bob.message() == upper


async def test_an_upper_case_recipient_id_reaches_someone_absent(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent(nodes.there)
    message = chat_message(a, b) | {"to": b.user_id.upper()}
    await alice.send_to_absent(message)
    assert await (await sockets.resume(b, nodes.there)).message() == message


async def test_a_key_as_an_array_of_numbers_and_whole_floats_are_relayed_as_bytes_and_integers(
    sockets: Sockets,
) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register()
    message = chat_message(a, b)
    javascript = message | {
        "ephemeralPublicKey": [float(byte) for byte in message["ephemeralPublicKey"]],
        "timestamp": float(message["timestamp"]),
    }
    await alice.send(javascript)
    received = await bob.message()
    assert received == message
    assert type(received["timestamp"]) is int


@pytest.mark.parametrize(("count", "size"), [(300, 240), (20, 67_000)], ids=["many", "big"])
async def test_more_than_a_window_of_waiting_messages_drains_completely_and_in_order(
    count: int, size: int, nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent(nodes.there)
    sent = chat_messages(a, b, count, size=size)
    for start in range(0, count, 50):
        await send_all(alice, sent[start : start + 50])
    bob = await sockets.resume(b, nodes.there)
    assert await bob.messages(count) == sent
    await nodes.confirmed(b)


async def test_what_is_sent_during_a_drain_comes_after_it(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent(nodes.there)
    sent = chat_messages(a, b, 200)
    await send_all(alice, sent[:100])
    bob = await sockets.resume(b, nodes.there)
    receiving = asyncio.create_task(bob.messages(200))
    await send_all(alice, sent[100:])
    assert await receiving == sent


async def test_a_message_to_nobody_is_refused(sockets: Sockets) -> None:
    alice, a = await sockets.register()
    nobody = Person("", "", "00000000-0000-4000-8000-000000000000", "")
    assert await alice.refusal("sendMessage", chat_message(a, nobody)) == "USER_NOT_FOUND"
