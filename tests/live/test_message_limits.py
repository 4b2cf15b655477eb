"""The limit that staff give an account holds for its live sockets on every process, with and without the layer."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.dialogue import Dialogue, Person, chat_message
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets, run_in_another_process
from tests.live.server import SERVE, Backing, ServerFactory
from tests.live.test_approval import NO_SWEEP, POLL_S, without_layer

HEARD_S = 3 * 10.0
"""Three times the time in which a change arrives without the channel layer."""


def set_limits(backing: Backing, person: Person, messages_per_hour: int | None) -> None:
    run_in_another_process(
        backing,
        "from uuid import UUID; from accounts.audit.chain import OPERATOR; from accounts.desk import acts; "
        f"acts.set_limits(OPERATOR, UUID({person.user_id!r}), {messages_per_hour}, reason='ticket 7')",
    )


async def outcome(socket: Dialogue, person: Person) -> str:
    """Of a message to nobody, which is counted: the code of its refusal."""
    nobody = Person("nobody", "", "6f1f0c2d-0000-4000-8000-9b7701900d35", "")
    return await socket.refusal("sendMessage", chat_message(person, nobody))


async def until(socket: Dialogue, person: Person, expected: str) -> None:
    async with asyncio.timeout(HEARD_S):
        while await outcome(socket, person) != expected:  # noqa: ASYNC110 - the server tells only who asks
            await asyncio.sleep(POLL_S)


async def test_without_the_channel_layer_the_sweep_finds_the_limit_for_every_live_socket(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, alice = await sockets.register(nodes.here)
    there = await sockets.resume(alice, nodes.there)
    for limit, expected in ((0, "FORBIDDEN"), (None, "USER_NOT_FOUND")):
        set_limits(without_layer(nodes.backing), alice, limit)
        for socket in (here, there):
            await until(socket, alice, expected)


async def test_a_raised_limit_lets_a_blocked_user_send_again(
    backing: Backing, server_process: ServerFactory
) -> None:
    server = server_process(SERVE, CONSTRUCT_MESSAGES_PER_HOUR="2", CONSTRUCT_MESSAGES_BLOCK_AT="4")
    async with Sockets(server, server_process.private) as sockets:
        socket, alice = await sockets.register()
        outcomes = [await outcome(socket, alice) for _ in range(5)]
        assert outcomes[2:] == ["RATE_LIMIT_EXCEEDED", "RATE_LIMIT_BLOCKED", "USER_BLOCKED"]
        set_limits(backing, alice, 1000)
        await until(socket, alice, "USER_NOT_FOUND")


@pytest.mark.parametrize("backing", ["distributed"], indirect=True)
async def test_the_channel_layer_alone_brings_it_and_both_processes_count_together(
    backing: Backing, server_process: ServerFactory
) -> None:
    nodes = server_process.pair(**SHARED_SETTINGS, **NO_SWEEP)
    async with Sockets(nodes[0], server_process.private) as sockets:
        here, alice = await sockets.register(nodes[0])
        there = await sockets.resume(alice, nodes[1])
        assert await outcome(there, alice) == "USER_NOT_FOUND"
        for _ in range(4):
            assert await outcome(here, alice) == "USER_NOT_FOUND"
        set_limits(backing, alice, 5)
        for socket in (here, there):
            await until(socket, alice, "RATE_LIMIT_EXCEEDED")
