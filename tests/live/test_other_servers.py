"""The application under servers without our extension: everything works, confirmation by age alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.live.dialogue import WAIT_S, chat_message, chat_messages, codes_of
from tests.live.nodes import SHARED_SETTINGS, Sockets, waiting
from tests.live.server import Server, ServerFactory
from tests.live.test_entry_points import ENTRY_POINTS, migrate

SETTINGS = {"CONSTRUCT_CONFIRM_WITHOUT_PONG_S": "1.5", "CONSTRUCT_HEARTBEAT_S": "0.2"}


@pytest.fixture(params=["daphne", "runserver"])
def other_server(request: pytest.FixtureRequest, server_process: ServerFactory) -> Server:
    migrate(server_process)
    return server_process(ENTRY_POINTS[request.param], **{**SHARED_SETTINGS, **SETTINGS})


@pytest.fixture
async def sockets(other_server: Server, server_process: ServerFactory) -> AsyncIterator[Sockets]:
    async with Sockets(other_server, server_process.private) as opened:
        yield opened


async def test_messages_are_delivered_and_confirmed_by_age(
    sockets: Sockets, server_process: ServerFactory
) -> None:
    backing = server_process.backing
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    sent = chat_messages(a, b, 3)
    for message in sent:
        await alice.send_to_absent(message)
    early = await sockets.resume(b)
    assert await early.messages(3) == sent
    await early.close()
    assert waiting(backing, b.user_id) == 3, "a connection that ended early confirms nothing"
    late, raw = await sockets.open_raw()
    await late.connect(b)
    assert await late.messages(3) == sent
    assert waiting(backing, b.user_id) == 3
    async with asyncio.timeout(WAIT_S):
        while waiting(backing, b.user_id):
            await asyncio.sleep(0.05)
    assert raw.pings.empty(), "the hub pings only where pongs come back"
    live = chat_message(a, b)
    await alice.send_to_present(live)
    assert await late.message() == live


async def test_refusals_close_with_their_own_codes(sockets: Sockets) -> None:
    alice, a = await sockets.register()
    other = await sockets.resume(a)
    await alice.ask("logout", {"sessionToken": a.token})
    assert await other.ending() == ([{"type": "sessionExpired"}], 4401)
    bad = await sockets.open()
    for _ in range(20):
        await bad.tell_bytes(b"\xc1")
    frames, code = await bad.ending()
    assert (codes_of(frames), code) == (["INVALID_FORMAT"] * 20, 4400)
