"""Messages whose life is over go: by the running server, once across processes, or by the command."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from construct_site.env import REPOSITORY
from tests.live.dialogue import chat_message, chat_messages
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets, waiting
from tests.live.server import Backing, ServerFactory, environment_of

SETTINGS = {"CONSTRUCT_MESSAGE_S": "1", "CONSTRUCT_HOUSEKEEPING_S": "0.2"}


async def test_the_running_server_removes_messages_whose_life_is_over(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent(nodes.there)
    expired = chat_messages(a, b, 3)
    for message in expired:
        await alice.send_to_absent(message)
    await nodes.confirmed(b)
    fresh = chat_message(a, b)
    await alice.send(fresh)
    bob = await sockets.resume(b, nodes.there)
    assert await bob.message() == fresh


async def test_an_expired_message_can_be_sent_again(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent(nodes.there)
    message = chat_message(a, b)
    await alice.send_to_absent(message)
    await nodes.confirmed(b)
    assert await alice.send(message) == "queued"
    bob = await sockets.resume(b, nodes.there)
    assert await bob.message() == message


def expire_mailbox(backing: Backing, **settings: str) -> str:
    """What the command prints."""
    command = subprocess.run(
        [sys.executable, "manage.py", "expire_mailbox"],
        cwd=REPOSITORY,
        env=environment_of(backing, **settings),
        check=True,
        capture_output=True,
        timeout=60,
    )
    return command.stdout.decode()


async def test_the_command_removes_and_counts_them(server_process: ServerFactory) -> None:
    backing = server_process.backing
    async with Sockets(server_process(**SHARED_SETTINGS), server_process.private) as sockets:
        alice, a = await sockets.register()
        b = await sockets.register_absent()
        for message in chat_messages(a, b, 3):
            await alice.send_to_absent(message)
        # A second is over once the first command, which leaves young messages alone, has run.
        counts = [
            await asyncio.to_thread(expire_mailbox, backing, **settings)
            for settings in ({}, {"CONSTRUCT_MESSAGE_S": "1"}, {"CONSTRUCT_MESSAGE_S": "1"})
        ]
        assert counts == ["0 rows deleted.\n", "3 rows deleted.\n", "0 rows deleted.\n"]
        assert waiting(backing, b.user_id) == 0
