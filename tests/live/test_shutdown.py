"""The end of a server process: clients can tell it from a failure, nothing acked is lost, the exit code is 0."""

from __future__ import annotations

import asyncio
import signal
import socket as sockets_of_the_system
import time
from collections.abc import AsyncIterator

import pytest

from tests.live.dialogue import chat_message, chat_messages, registration
from tests.live.nodes import SHARED_SETTINGS, Sockets, waiting
from tests.live.server import STOP_S, Backing, Server, ServerFactory

embedded_only = pytest.mark.parametrize("backing", ["embedded"], indirect=True)


@pytest.fixture
def restartable(server_process: ServerFactory) -> Server:
    return server_process(**SHARED_SETTINGS)


@pytest.fixture
async def sockets(restartable: Server, server_process: ServerFactory) -> AsyncIterator[Sockets]:
    async with Sockets(restartable, server_process.private) as opened:
        yield opened


async def exit_code(server: Server) -> int:
    return await asyncio.to_thread(server.process.wait, STOP_S)


async def test_sockets_are_closed_with_1012_and_the_process_ends_in_order(
    restartable: Server, sockets: Sockets
) -> None:
    nobody = await sockets.open()
    somebody, _ = await sockets.register()
    _, raw = await sockets.open_raw()
    raw.freeze()
    restartable.process.send_signal(signal.SIGTERM)
    for each in (nobody, somebody):
        assert await each.ending() == ([], 1012)
    assert await exit_code(restartable) == 0


async def test_what_was_read_is_acked_before_the_close(
    restartable: Server, sockets: Sockets, backing: Backing
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    for message in chat_messages(a, b, 60):
        await alice.tell("sendMessage", message)
    restartable.process.send_signal(signal.SIGTERM)
    frames, code = await alice.ending()
    assert [frame["type"] for frame in frames] == ["ack"] * len(frames)
    assert code == 1012
    assert await exit_code(restartable) == 0
    assert waiting(backing, b.user_id) == len(frames)


async def test_a_long_request_is_answered_and_holds_up_nobody_else(server_process: ServerFactory) -> None:
    slow = server_process(**{**SHARED_SETTINGS, "CONSTRUCT_PASSWORD_HASH_PASSES": "3000"})
    async with Sockets(slow, server_process.private) as sockets:
        busy = await sockets.open()
        await busy.tell("register", registration())
        idle = await sockets.open()
        slow.process.send_signal(signal.SIGTERM)
        assert await idle.ending() == ([], 1012)
        frames, code = await busy.ending()
        assert ([frame["type"] for frame in frames], code) == (["registerSuccess"], 1012)
        assert await exit_code(slow) == 0


@embedded_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_no_signal_is_an_error(number: signal.Signals, restartable: Server) -> None:
    restartable.process.send_signal(number)
    assert await exit_code(restartable) == 0


@embedded_only
async def test_http_requests_under_way_do_not_hold_up_the_end(restartable: Server) -> None:
    address = ("127.0.0.1", restartable.port)
    with (
        sockets_of_the_system.create_connection(address) as half,
        sockets_of_the_system.create_connection(address) as idle,
    ):
        half.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf of it")
        idle.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        begin = time.monotonic()
        restartable.process.send_signal(signal.SIGTERM)
        assert await exit_code(restartable) == 0
        assert time.monotonic() - begin < STOP_S


@embedded_only
async def test_new_connections_are_refused_during_the_end(restartable: Server, sockets: Sockets) -> None:
    _, raw = await sockets.open_raw()
    raw.freeze()
    restartable.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STOP_S):
        while True:
            try:
                sockets_of_the_system.create_connection(("127.0.0.1", restartable.port), timeout=1).close()
            except OSError:
                break
            await asyncio.sleep(0.02)
    assert await exit_code(restartable) == 0


@pytest.mark.parametrize("is_killed", [False, True], ids=["SIGTERM", "SIGKILL"])
async def test_what_was_acked_is_delivered_by_the_next_process(
    is_killed: bool, restartable: Server, sockets: Sockets, server_process: ServerFactory
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, _ = await sockets.open_raw()
    await bob.connect(b)
    sent = chat_messages(a, b, 40)
    for message in sent:
        await alice.tell("sendMessage", message)
    for message in sent[:20]:
        assert (await alice.reply())["payload"]["messageId"] == message["id"]
    if is_killed:
        await asyncio.to_thread(restartable.kill)
    else:
        assert await asyncio.to_thread(restartable.stop) == 0
    sockets.server = server_process(**SHARED_SETTINGS)
    again = await sockets.resume(a)
    for message in sent[20:]:
        await again.send(message)
    last = chat_message(a, b)
    await again.send(last)
    bob = await sockets.resume(b)
    assert await bob.messages(41) == [*sent, last]
