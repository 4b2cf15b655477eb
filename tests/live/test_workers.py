"""``serve --workers 2``: two processes on one port, each of which may die, be replaced or be told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket as sockets_of_the_system
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from websockets.asyncio.client import ClientConnection

from messaging.client import ConstructClient
from messaging.client.encryption import Keys
from tests.live.dialogue import ABNORMAL_CLOSURE, POLL_S, Dialogue, chat_message, chat_messages
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets
from tests.live.server import SERVE, START_S, STOP_S, Backing, Server, ServerFactory
from tests.live.test_client import newcomer, read, sealed

WORKERS = 2
SERVE_WORKERS = (*SERVE, "--migrate", "--workers", str(WORKERS))
ATTEMPTS = 200
"""Connections within which each of two processes that race for them must have got two."""

pytestmark = pytest.mark.parametrize("backing", ["distributed"], indirect=True)


@pytest.fixture
async def server(server_process: ServerFactory) -> Server:
    started = server_process(SERVE_WORKERS, **SHARED_SETTINGS)
    await said(started, "Construct serves")
    return started


@pytest.fixture
async def sockets(server: Server, server_process: ServerFactory) -> AsyncIterator[Sockets]:
    async with Sockets(server, server_process.private) as opened:
        yield opened


async def said(server: Server, words: str, *, within_s: float = START_S) -> None:
    """Wait until the server's log has these words."""
    async with asyncio.timeout(within_s):
        while words not in server.log.read_text():  # noqa: ASYNC110 - a file tells only who looks
            await asyncio.sleep(POLL_S)


def workers_of(server: Server) -> set[int]:
    pid = server.process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def worker_at(server: Server, dialogue: Dialogue) -> int:
    """The worker that has the other end of this connection."""
    client = cast("ClientConnection", dialogue.transport).local_address[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, inode = (line.split()[column] for column in (1, 2, 9))
        if (port_in(local), port_in(remote)) == (server.port, client):
            return next(pid for pid in workers_of(server) if f"socket:[{inode}]" in open_files(pid))
    raise AssertionError("nobody has the other end")


def port_in(address: str) -> int:
    return int(struct.unpack(">H", bytes.fromhex(address.split(":")[1]))[0])


def open_files(pid: int) -> Iterator[str]:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        # A process at work closes files between the listing and the look.
        with suppress(FileNotFoundError):
            yield str(each.readlink())


async def two_at_each(server: Server, sockets: Sockets) -> list[list[Dialogue]]:
    """Two sockets at each worker, worker by worker."""
    found: dict[int, list[Dialogue]] = {pid: [] for pid in workers_of(server)}
    for _ in range(ATTEMPTS):
        opened = await sockets.open()
        found[worker_at(server, opened)].append(opened)
        if all(len(each) >= 2 for each in found.values()):
            return [each[:2] for each in found.values()]
    raise AssertionError(f"one worker took nearly all: {[len(each) for each in found.values()]}")


async def until_it_serves(server: Server, worker: int, sockets: Sockets) -> None:
    """Wait until a worker that was started takes connections."""
    async with asyncio.timeout(START_S):
        while worker_at(server, opened := await sockets.open()) != worker:
            await opened.close()
            await asyncio.sleep(POLL_S)


async def exit_code(server: Server) -> int:
    return await asyncio.to_thread(server.process.wait, STOP_S)


def is_refused(port: int) -> bool:
    try:
        sockets_of_the_system.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_both_workers_serve_one_port_and_ring_each_other(server: Server, sockets: Sockets) -> None:
    (alice, _), (bob, _) = await two_at_each(server, sockets)
    a, b = await alice.register(), await bob.register()
    message = chat_message(a, b)
    await alice.send_to_present(message)
    assert await bob.message() == message


async def test_a_worker_that_is_killed_takes_only_its_own_connections_along(
    server: Server, sockets: Sockets
) -> None:
    (alice, carol), (bob, dave) = await two_at_each(server, sockets)
    a, b, c = await alice.register(), await bob.register(), await carol.register()
    victim, survivor = worker_at(server, bob), worker_at(server, alice)
    sent = chat_messages(a, b, 40)
    for message in sent:
        await alice.tell("sendMessage", message)
    acked = [(await alice.reply())["payload"]["messageId"] for _ in sent[:20]]
    os.kill(victim, signal.SIGKILL)
    assert (await bob.ending())[1] == (await dave.ending())[1] == ABNORMAL_CLOSURE
    acked += [(await alice.reply())["payload"]["messageId"] for _ in sent[20:]]
    assert acked == [message["id"] for message in sent]

    note = chat_message(a, c)
    await alice.send_to_present(note)
    assert await carol.message() == note
    again = await sockets.resume(b)
    last = chat_message(a, b)
    await alice.send(last)
    received = await again.messages(1)
    while received[-1] != last:
        received.append(await again.message())
    # What bob had confirmed before the end does not come again.
    assert received[:-1] == sent[len(sent) + 1 - len(received) :]

    await said(server, "a worker died")
    async with asyncio.timeout(START_S):
        while len(workers_of(server)) < WORKERS:  # noqa: ASYNC110 - /proc tells only who looks
            await asyncio.sleep(POLL_S)
    assert survivor in workers_of(server)
    assert victim not in workers_of(server)
    (replacement,) = workers_of(server) - {survivor}
    await until_it_serves(server, replacement, sockets)
    await two_at_each(server, sockets)


async def test_sigterm_closes_every_socket_with_1012_and_ends_in_order(
    server: Server, sockets: Sockets
) -> None:
    opened = [each for both in await two_at_each(server, sockets) for each in both]
    workers = workers_of(server)
    server.process.send_signal(signal.SIGTERM)
    for each in opened:
        assert await each.ending() == ([], 1012)
    assert await exit_code(server) == 0
    assert not any(is_alive(pid) for pid in workers)
    assert is_refused(server.port)


async def test_sigterm_to_each_process_is_in_order_too(server: Server, sockets: Sockets) -> None:
    """As a service manager does that tells all of a service."""
    opened = await sockets.open()
    for pid in (*workers_of(server), server.process.pid):
        os.kill(pid, signal.SIGTERM)
    assert await opened.ending() == ([], 1012)
    assert await exit_code(server) == 0


async def test_workers_drain_and_end_when_the_supervisor_is_killed(server: Server, sockets: Sockets) -> None:
    opened = [each for both in await two_at_each(server, sockets) for each in both]
    workers = workers_of(server)
    server.kill()
    for each in opened:
        assert await each.ending() == ([], 1012)
    async with asyncio.timeout(STOP_S):
        while any(is_alive(pid) for pid in workers):  # noqa: ASYNC110 - /proc tells only who looks
            await asyncio.sleep(POLL_S)
    assert is_refused(server.port)


async def test_a_rolling_restart_loses_nothing_acked_and_refuses_nobody(
    server: Server, server_process: ServerFactory, backing: Backing, sockets: Sockets
) -> None:
    nodes = Nodes(backing, server, server, server_process.private)
    before, acked, is_over = workers_of(server), list[str](), asyncio.Event()
    async with ConstructClient(server.websocket_url) as alice, ConstructClient(server.websocket_url) as bob:
        await newcomer(alice, nodes)
        keys = await newcomer(bob, nodes)
        async with asyncio.TaskGroup() as traffic:
            traffic.create_task(send_until(is_over, alice, bob, keys, acked))
            knocks = traffic.create_task(knock_until(is_over, sockets))
            server.process.send_signal(signal.SIGHUP)
            await said(server, "rolling restart done", within_s=WORKERS * START_S)
            is_over.set()
        assert await read(bob, keys, len(acked)) == acked
    assert len(acked) > WORKERS
    assert knocks.result() > WORKERS
    assert len(workers_of(server)) == WORKERS
    assert not before & workers_of(server)
    assert "a worker died" not in server.log.read_text()


async def send_until(
    is_over: asyncio.Event,
    sender: ConstructClient,
    recipient: ConstructClient,
    keys: Keys,
    acked: list[str],
) -> None:
    """Send one message after the other; keep the text of each that was acked."""
    while not is_over.is_set():
        text = f"number {len(acked)}"
        await sender.send(sealed(text, sender, recipient, keys))
        acked.append(text)


async def knock_until(is_over: asyncio.Event, sockets: Sockets) -> int:
    """Open a socket and close it, again and again; how often. Each attempt must succeed."""
    opened = 0
    while not is_over.is_set():
        await (await sockets.open()).close()
        opened += 1
    return opened


async def test_a_configuration_that_only_a_worker_can_judge_ends_the_whole_command_once(
    server_process: ServerFactory,
) -> None:
    server = server_process.launch(SERVE_WORKERS, REDIS_URL="redis://127.0.0.1:not-a-port/0")
    assert await asyncio.to_thread(server.process.wait, START_S) == 1
    log = server.log.read_text()
    assert log.count("the application failed to start") == 1
    assert "A worker did not start." in log
    assert "Construct serves" not in log
