"""The figures of real servers: what all processes counted, together, and how they are now."""

from __future__ import annotations

import asyncio

from tests.live.dialogue import POLL_S, WAIT_S, chat_messages
from tests.live.nodes import SHARED_SETTINGS, Sockets, query
from tests.live.server import Backing, ServerFactory

OFTEN = {"CONSTRUCT_METRICS_FLUSH_S": "0.2", "CONSTRUCT_HOUSEKEEPING_S": "0.2"}


def figures(backing: Backing) -> dict[str, int]:
    """The sum of each metric over all its rows."""
    rows = query(backing, "SELECT metric, sum(value) FROM metrics_hourlymetric GROUP BY metric")
    return {metric: int(value) for metric, value in rows}


def connections(backing: Backing) -> list[int]:
    """Of each process that tells them, the fewest first."""
    rows = query(backing, "SELECT connections FROM metrics_processfigures ORDER BY connections")
    return [value for (value,) in rows]


async def test_processes_count_together_and_tell_their_connections(server_process: ServerFactory) -> None:
    backing, is_one = server_process.backing, server_process.backing.name == "embedded"
    here = server_process(**SHARED_SETTINGS, **OFTEN)
    there = here if is_one else server_process(**SHARED_SETTINGS, **OFTEN)

    def are_counted() -> bool:
        stored = figures(backing)
        return (
            stored.items() >= {"registrations": 2, "messages_relayed": 4}.items()
            and stored.get("delivery_time") in {3, 4}
            and stored.get("connections", 0) >= 2
        )

    async with Sockets(here, server_process.private) as sockets:
        alice, a = await sockets.register()
        bob, b = await sockets.register(there)
        first, *others = chat_messages(a, b, 4)
        # The first may be found in the mailbox: that is not measured.
        await alice.send_to_present(first)
        for message in others:
            await alice.send(message)
        await bob.messages(4)

        async with asyncio.timeout(WAIT_S):
            while not (are_counted() and connections(backing) == ([2] if is_one else [1, 1])):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
    for server in (here, there):
        server.stop()
    assert connections(backing) == []
    # Nothing is counted twice.
    assert are_counted()


async def test_a_server_that_ends_in_order_stores_what_it_counted_last(server_process: ServerFactory) -> None:
    server = server_process(**SHARED_SETTINGS)
    async with Sockets(server, server_process.private) as sockets:
        alice, a = await sockets.register()
        b = await sockets.register_absent()
        for message in chat_messages(a, b, 3):
            await alice.send_to_absent(message)
    assert "messages_relayed" not in figures(server_process.backing)
    server.stop()
    stored = figures(server_process.backing)
    assert (stored["registrations"], stored["messages_relayed"]) == (2, 3)
