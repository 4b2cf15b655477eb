"""A message waits until the recipient's side proved that it has it: by pong, or by `received`."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.dialogue import WAIT_S, Dialogue, Frame, Person, chat_message, chat_messages
from tests.live.nodes import Nodes, Sockets
from tests.live.raw import RawSocket

PAYLOAD_BYTES = 16
"""Of the server's pings: 8 of the connection's identity and a counter of 8."""


async def ping_of(raw: RawSocket) -> bytes:
    return await asyncio.wait_for(raw.pings.get(), WAIT_S)


async def silent_receiver(
    sockets: Sockets, person: Person, **extensions: object
) -> tuple[Dialogue, RawSocket]:
    dialogue, raw = await sockets.open_raw()
    await dialogue.connect(person, **extensions)
    return dialogue, raw


async def assert_still_waits(nodes: Nodes, sockets: Sockets, recipient: Person, sent: list[Frame]) -> None:
    """The messages are there after the socket that had them ended, and come again on the next one."""
    assert nodes.waiting(recipient) == len(sent)
    again = await sockets.resume(recipient, nodes.there)
    assert await again.messages(len(sent)) == sent
    await nodes.confirmed(recipient)


async def test_what_no_pong_followed_comes_again_on_the_next_connection(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, _ = await silent_receiver(sockets, b)
    sent = chat_messages(a, b, 3)
    for message in sent:
        await alice.send_to_present(message)
    assert await bob.messages(3) == sent
    await bob.finish()
    await bob.close()
    await assert_still_waits(nodes, sockets, b, sent)


async def test_a_connection_that_is_cut_loses_nothing(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, raw = await silent_receiver(sockets, b)
    sent = chat_messages(a, b, 3)
    for message in sent:
        await alice.send(message)
    assert await bob.message() == sent[0]
    raw.abort()
    await assert_still_waits(nodes, sockets, b, sent)


async def test_the_pong_to_the_ping_after_a_message_confirms_it(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, raw = await silent_receiver(sockets, b)
    await alice.send(chat_message(a, b))
    await bob.message()
    payload = await ping_of(raw)
    assert len(payload) == PAYLOAD_BYTES
    assert nodes.waiting(b) == 1
    raw.pong(payload)
    await nodes.confirmed(b)


async def test_a_pong_confirms_what_went_before_its_ping_and_nothing_after(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, raw = await silent_receiver(sockets, b)
    first, second = chat_messages(a, b, 2)
    await alice.send(first)
    payload = await ping_of(raw)
    await alice.send(second)
    assert await bob.messages(2) == [first, second]
    assert raw.pings.empty(), "one ping is out at a time"
    raw.pong(payload)
    await nodes.confirmed(b, left=1)
    await bob.close()
    await assert_still_waits(nodes, sockets, b, [second])


@pytest.mark.parametrize(
    "altered",
    [
        lambda _: b"",
        lambda payload: payload[:8],
        lambda payload: payload[:-1] + bytes([payload[-1] ^ 1]),
        lambda payload: bytes(8) + payload[8:],
        lambda payload: payload + b"\0",
    ],
    ids=["empty", "no counter", "another counter", "another identity", "longer"],
)
async def test_a_pong_with_another_payload_confirms_nothing(
    altered: object, nodes: Nodes, sockets: Sockets
) -> None:
    assert callable(altered)
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, raw = await silent_receiver(sockets, b)
    message = chat_message(a, b)
    await alice.send(message)
    raw.pong(altered(await ping_of(raw)))
    await bob.finish()
    await bob.close()
    await assert_still_waits(nodes, sockets, b, [message])


async def test_an_unasked_pong_and_a_repeated_one_confirm_nothing(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, raw = await silent_receiver(sockets, b)
    first, second = chat_messages(a, b, 2)
    await alice.send(first)
    payload = await ping_of(raw)
    raw.pong(payload)
    await nodes.confirmed(b)
    await alice.send(second)
    await ping_of(raw)
    raw.pong(payload)
    raw.pong(b"unasked")
    await bob.finish()
    await bob.close()
    await assert_still_waits(nodes, sockets, b, [second])


async def test_a_pong_to_a_former_identity_of_the_socket_confirms_nothing(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    socket, raw = await silent_receiver(sockets, b)
    message = chat_message(a, b)
    await alice.send(message)
    late = await ping_of(raw)
    c = await socket.register()
    to_present = chat_message(a, c)
    await alice.send_to_present(to_present)
    await ping_of(raw)
    raw.pong(late)
    await socket.finish()
    await socket.close()
    await assert_still_waits(nodes, sockets, b, [message])
    await assert_still_waits(nodes, sockets, c, [to_present])


async def test_with_receipts_a_pong_confirms_nothing_and_received_does(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, raw = await sockets.open_raw(answers_pings=True)
    assert (await bob.connect(b, receipts=True))["receipts"] is True
    first, second, third = sent = chat_messages(a, b, 3)
    for message in sent:
        await alice.send(message)
    assert await bob.messages(3) == sent
    await ping_of(raw)
    await bob.tell("received", {"messageIds": [second["id"], "unknown"]})
    await nodes.confirmed(b, left=2)
    await bob.close()
    again = await sockets.resume(b, nodes.there, receipts=True)
    assert await again.messages(2) == [first, third]
    await again.tell("received", {"messageIds": [first["id"], third["id"]]})
    await nodes.confirmed(b)


async def test_received_takes_the_ids_as_they_were_relayed(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there, receipts=True)
    message = chat_message(a, b)
    message["id"] = message["id"].upper()
    await alice.send(message)
    assert (await bob.message())["id"] == message["id"]
    await bob.tell("received", {"messageIds": [message["id"]]})
    await nodes.confirmed(b)


async def test_received_without_receipts_confirms_nothing(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, _ = await silent_receiver(sockets, b)
    message = chat_message(a, b)
    await alice.send(message)
    await bob.message()
    await bob.tell("received", {"messageIds": [message["id"]]})
    await bob.finish()
    await bob.close()
    await assert_still_waits(nodes, sockets, b, [message])


async def test_received_of_another_user_confirms_nothing(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register(receipts=True)
    b = await sockets.register_absent()
    bob, _ = await silent_receiver(sockets, b)
    message = chat_message(a, b)
    await alice.send(message)
    await alice.tell("received", {"messageIds": [message["id"]]})
    await alice.finish()
    await bob.close()
    await assert_still_waits(nodes, sockets, b, [message])


async def test_receipts_are_echoed_only_to_who_asked(sockets: Sockets) -> None:
    plain, a = await sockets.register()
    login = {"username": a.username, "password": a.password}
    assert "receipts" not in (await plain.ask("login", login))["payload"]
    assert (await plain.ask("login", login | {"receipts": True}))["payload"]["receipts"] is True
    assert "receipts" not in await plain.connect(a)
