"""An approval reaches live sockets, on whatever process they are."""

from __future__ import annotations

import asyncio

from tests.live.dialogue import chat_message
from tests.live.nodes import Nodes, Sockets, run_in_another_process

SETTINGS = {"CONSTRUCT_REGISTRATION": "approval"}
APPROVED_S = 3 * 10.0
"""Three times the time in which an approval arrives without the channel layer."""
POLL_S = 0.2


async def test_who_is_approved_may_send_on_every_live_socket(nodes: Nodes, sockets: Sockets) -> None:
    here, alice = await sockets.register(nodes.here)
    there = await sockets.resume(alice, nodes.there)
    for socket in (here, there):
        assert await socket.refusal("sendMessage", chat_message(alice, alice)) == "ACCOUNT_PENDING"
    user_id = f"__import__('uuid').UUID('{alice.user_id}')"
    run_in_another_process(
        nodes.backing, f"from accounts import services; services.approve_account({user_id})"
    )
    for socket in (here, there):
        async with asyncio.timeout(APPROVED_S):
            while (await socket.ask("sendMessage", chat_message(alice, alice)))["type"] != "ack":  # noqa: ASYNC110 - the server tells only who asks
                await asyncio.sleep(POLL_S)
