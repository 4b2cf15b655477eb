"""Who waits for approval is not reached and does not send; an approval reaches live sockets on every process."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.live.dialogue import Dialogue, Person, chat_message
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets, run_in_another_process
from tests.live.server import Backing, ServerFactory

SETTINGS = {"CONSTRUCT_REGISTRATION": "approval"}
APPROVED_S = 3 * 10.0
"""Three times the time in which an approval arrives without the channel layer."""
NO_SWEEP = {"CONSTRUCT_SWEEP_S": "3600"}
POLL_S = 0.2


def approve(backing: Backing, person: Person) -> None:
    user_id = f"__import__('uuid').UUID('{person.user_id}')"
    run_in_another_process(backing, f"from accounts import services; services.approve_account({user_id})")


def without_layer(backing: Backing) -> Backing:
    """The same data; what happens there rings nowhere else."""
    kept = {name: value for name, value in backing.environment.items() if name != "REDIS_URL"}
    return replace(backing, environment=kept)


async def until_it_may_send(socket: Dialogue, person: Person) -> None:
    async with asyncio.timeout(APPROVED_S):
        while (await socket.ask("sendMessage", chat_message(person, person)))["type"] != "ack":  # noqa: ASYNC110 - the server tells only who asks
            await asyncio.sleep(POLL_S)


async def test_without_the_channel_layer_the_sweep_finds_the_approval_for_every_live_socket(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, alice = await sockets.register(nodes.here)
    there = await sockets.resume(alice, nodes.there)
    for socket in (here, there):
        assert await socket.refusal("sendMessage", chat_message(alice, alice)) == "ACCOUNT_PENDING"
    approve(without_layer(nodes.backing), alice)
    for socket in (here, there):
        await until_it_may_send(socket, alice)


@pytest.mark.parametrize("backing", ["distributed"], indirect=True)
async def test_the_channel_layer_alone_brings_the_approval_to_every_live_socket(
    backing: Backing, server_process: ServerFactory
) -> None:
    nodes = server_process.pair(**SHARED_SETTINGS, **SETTINGS, **NO_SWEEP)
    async with Sockets(nodes[0], server_process.private) as sockets:
        here, alice = await sockets.register(nodes[0])
        there = await sockets.resume(alice, nodes[1])
        approve(backing, alice)
        for socket in (here, there):
            await until_it_may_send(socket, alice)


async def test_who_waits_for_approval_is_nobody_to_others(nodes: Nodes, sockets: Sockets) -> None:
    bob, b = await sockets.register(nodes.here)
    approve(nodes.backing, b)
    await until_it_may_send(bob, b)
    alice, a = await sockets.register(nodes.there)
    message = chat_message(b, a)
    assert await bob.refusal("sendMessage", message) == "USER_NOT_FOUND"
    assert await bob.refusal("getPublicKey", {"userId": a.user_id}) == "USER_NOT_FOUND"
    assert nodes.waiting(a) == 0
    for user in (a, b):
        served = await alice.ask("getPublicKey", {"userId": user.user_id})
        assert served["payload"]["username"] == user.username, "its own, and those of whom it may see"
    approve(nodes.backing, a)
    assert (await bob.ask("getPublicKey", {"userId": a.user_id}))["type"] == "publicKeyBundle"
    await bob.send(message)
    assert await alice.message() == message
