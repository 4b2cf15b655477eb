"""Acks that do not tell who is connected."""

from __future__ import annotations

from tests.live.dialogue import chat_message
from tests.live.nodes import Nodes, Sockets

SETTINGS = {"CONSTRUCT_ACK_PRESENCE": "off"}


async def test_every_ack_says_queued_and_messages_arrive_all_the_same(nodes: Nodes, sockets: Sockets) -> None:
    sender, sender_person = await sockets.register(nodes.here)
    for place in (nodes.here, nodes.there):
        recipient, recipient_person = await sockets.register(place)
        for _ in range(2):
            message = chat_message(sender_person, recipient_person)
            assert await sender.send(message) == "queued"
            assert await recipient.message() == message
        await nodes.confirmed(recipient_person)
        assert await sender.send(message) == "queued"
