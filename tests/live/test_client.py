"""The reference client against the real server, one account on each process."""

from __future__ import annotations

import asyncio
import time

import pytest

from messaging.client import ConstructClient, RequestRefused, SessionEnded
from messaging.client.encryption import Keys, seal, unseal
from messaging.protocol.messages import ChatMessage
from tests.live.dialogue import WAIT_S, new_username
from tests.live.nodes import Nodes
from tests.live.server import Server

MESSAGES = 100


async def newcomer(client: ConstructClient, nodes: Nodes) -> Keys:
    keys = Keys.generate()
    username = new_username()
    success = await client.register(username, "a long enough password", keys.bundle())
    nodes.private.update((username, success.user_id, success.session_token))
    return keys


def sealed(text: str, sender: ConstructClient, recipient: ConstructClient, keys: Keys) -> ChatMessage:
    assert sender.user_id is not None
    assert recipient.user_id is not None
    return seal(
        text,
        sender=sender.user_id,
        recipient=recipient.user_id,
        prekey_public=keys.prekey_public,
        number=0,
        now=int(time.time()),
    )


async def read(client: ConstructClient, keys: Keys, count: int) -> list[str]:
    texts: list[str] = []
    async with asyncio.timeout(WAIT_S):
        while len(texts) < count:
            message = await client.receive()
            texts.append(unseal(message, keys))
            client.stored(message)
    return texts


@pytest.mark.parametrize("receipts", [True, False], ids=["receipts", "pongs"])
async def test_clients_talk_across_processes(receipts: bool, nodes: Nodes) -> None:
    texts = [f"number {number}" for number in range(MESSAGES)]
    async with (
        ConstructClient(nodes.here.websocket_url, receipts=receipts) as alice,
        ConstructClient(nodes.there.websocket_url, receipts=receipts) as bob,
    ):
        await newcomer(alice, nodes)
        keys = await newcomer(bob, nodes)
        reading = asyncio.create_task(read(bob, keys, MESSAGES))
        async with asyncio.TaskGroup() as sends:
            for text in texts:
                sends.create_task(alice.send(sealed(text, alice, bob, keys)))
        assert await reading == texts


async def test_a_client_that_left_gets_the_rest_when_it_resumes(nodes: Nodes) -> None:
    async with ConstructClient(nodes.here.websocket_url) as alice:
        await newcomer(alice, nodes)
        async with ConstructClient(nodes.there.websocket_url) as bob:
            keys = await newcomer(bob, nodes)
            token, user = bob.session_token, bob
        assert token is not None
        for number in range(3):
            await alice.send(sealed(str(number), alice, user, keys))
        async with ConstructClient(nodes.here.websocket_url) as returned:
            await returned.resume(token)
            assert await read(returned, keys, 3) == ["0", "1", "2"]


async def test_refusals_come_as_exceptions(nodes: Nodes) -> None:
    async with ConstructClient(nodes.here.websocket_url) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.search("any")
        assert refused.value.code == "AUTH_REQUIRED"
        with pytest.raises(SessionEnded):
            await client.resume("construct_" + "A" * 43)


class Relay:
    """A TCP relay before a server whose connections can be cut."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._writers |= {writer, upstream_writer}
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

    def cut(self) -> None:
        while self._writers:
            self._writers.pop().transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def test_connections_that_break_all_the_time_lose_double_or_reorder_nothing(nodes: Nodes) -> None:
    texts = [f"number {number}" for number in range(MESSAGES)]
    relay = Relay(nodes.here)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    url = f"ws://127.0.0.1:{port}/ws"
    async with (
        listener,
        ConstructClient(url, chance=lambda: 0.0) as alice,
        ConstructClient(url, chance=lambda: 0.0) as bob,
    ):
        await newcomer(alice, nodes)
        keys = await newcomer(bob, nodes)
        reading = asyncio.create_task(read(bob, keys, MESSAGES))
        for start in range(0, MESSAGES, 10):
            async with asyncio.TaskGroup() as sends:
                for text in texts[start : start + 10]:
                    sends.create_task(alice.send(sealed(text, alice, bob, keys)))
                await asyncio.sleep(0)
                relay.cut()
        assert await reading == texts
