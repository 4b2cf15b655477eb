"""How connections end: the codes that a client sees, the server's pings, deadlines."""

from __future__ import annotations

import asyncio

from tests.live.dialogue import ABNORMAL_CLOSURE, WAIT_S, chat_message, code_of, codes_of, packed
from tests.live.nodes import Nodes, Sockets

SETTINGS = {
    "CONSTRUCT_AUTHENTICATE_S": "1",
    "CONSTRUCT_HEARTBEAT_S": "0.4",
    "CONSTRUCT_PONG_S": "0.8",
    "CONSTRUCT_STALL_S": "1.6",
}
PING_BYTES = 16
FRAME_BYTES = 128 * 1024
TRANSPORT_FRAME_BYTES = 256 * 1024


async def test_a_socket_that_logs_in_nowhere_is_closed_in_time(sockets: Sockets) -> None:
    socket = await sockets.open()
    frames, code = await socket.ending()
    assert (codes_of(frames), code) == (["AUTH_REQUIRED"], 4401)


async def test_failed_logins_gain_no_time(sockets: Sockets) -> None:
    socket = await sockets.open()
    begin = asyncio.get_running_loop().time()
    await socket.tell("connect", {"sessionToken": "none"})
    await asyncio.sleep(0.5)
    await socket.tell("connect", {"sessionToken": "none"})
    frames, code = await socket.ending()
    assert (codes_of(frames), code) == (["INVALID_TOKEN", "INVALID_TOKEN", "AUTH_REQUIRED"], 4401)
    assert asyncio.get_running_loop().time() - begin < 1.5


async def test_a_socket_that_logged_out_is_closed_in_time_unless_it_logs_in_again(sockets: Sockets) -> None:
    leaver, a = await sockets.register()
    returner, b = await sockets.register()
    await leaver.ask("logout", {"sessionToken": a.token})
    await returner.ask("logout", {"sessionToken": b.token})
    await returner.ask("login", {"username": b.username, "password": b.password})
    frames, code = await leaver.ending()
    assert (codes_of(frames), code) == (["AUTH_REQUIRED"], 4401)
    await returner.finish()


async def test_an_idle_connection_is_pinged_and_stays_as_long_as_it_answers(sockets: Sockets) -> None:
    person = await sockets.register_absent()
    socket, raw = await sockets.open_raw(answers_pings=True)
    await socket.connect(person)
    pings = [await asyncio.wait_for(raw.pings.get(), WAIT_S) for _ in range(5)]
    assert {len(ping) for ping in pings} == {PING_BYTES}
    assert len({ping[:8] for ping in pings}) == 1, "the identity"
    assert [int.from_bytes(ping[8:], "big") for ping in pings] == [1, 2, 3, 4, 5]
    await socket.finish()


async def test_two_identities_of_a_socket_are_pinged_apart(sockets: Sockets) -> None:
    person = await sockets.register_absent()
    socket, raw = await sockets.open_raw(answers_pings=True)
    identities = set()
    for _ in range(2):
        await socket.connect(person)
        while not raw.pings.empty():
            raw.pings.get_nowait()
        identities.add((await asyncio.wait_for(raw.pings.get(), WAIT_S))[:8])
    assert len(identities) == 2


async def test_a_connection_that_answers_no_ping_is_closed(sockets: Sockets) -> None:
    person = await sockets.register_absent()
    socket, raw = await sockets.open_raw()
    await socket.connect(person)
    frames, code = await socket.ending()
    assert (codes_of(frames), code) == (["RATE_LIMIT_EXCEEDED"], 4408)
    assert raw.pings.qsize() == 1


async def test_a_connection_that_confirms_nothing_is_closed_and_its_messages_wait(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    bob, raw = await sockets.open_raw()
    await bob.connect(b)
    message = chat_message(a, b)
    await alice.send(message)
    frames, code = await bob.ending()
    assert ([frame["type"] for frame in frames], code) == (["message", "error"], 4408)
    assert raw.pings.qsize() == 1
    assert await (await sockets.resume(b, nodes.there)).message() == message


async def test_a_clients_own_ping_is_answered(sockets: Sockets) -> None:
    socket = await sockets.open()
    latency = await asyncio.wait_for(await socket.transport.ping(b"are you there"), WAIT_S)  # type: ignore[attr-defined]
    assert latency >= 0


async def test_a_clients_close_is_returned(sockets: Sockets) -> None:
    socket, raw = await sockets.open_raw()
    await socket.close()
    assert raw.close_code == 1000


async def test_a_frame_over_the_limit_is_refused_and_one_far_over_it_closes(sockets: Sockets) -> None:
    socket, _ = await sockets.register()
    await socket.tell_bytes(packed("searchUsers", {"query": "any", "ignored": bytes(FRAME_BYTES)}))
    assert code_of(await socket.reply()) == "MESSAGE_TOO_LARGE"
    await socket.finish()
    await socket.tell_bytes(packed("searchUsers", {"query": "any", "ignored": bytes(TRANSPORT_FRAME_BYTES)}))
    frames, code = await socket.ending()
    assert (frames, code) == ([], 1009)


async def test_a_frame_of_just_the_limit_is_read(sockets: Sockets) -> None:
    socket, _ = await sockets.register()
    padding = FRAME_BYTES - len(packed("searchUsers", {"query": "any", "ignored": bytes(70_000)})) + 70_000
    frame = packed("searchUsers", {"query": "any", "ignored": bytes(padding)})
    assert len(frame) == FRAME_BYTES
    await socket.tell_bytes(frame)
    assert (await socket.reply())["type"] == "searchResults"


async def test_a_connection_that_is_cut_is_an_abnormal_closure_to_nobody_else(sockets: Sockets) -> None:
    person = await sockets.register_absent()
    cut, raw = await sockets.open_raw(answers_pings=True)
    await cut.connect(person)
    other = await sockets.resume(person)
    raw.abort()
    _, code = await cut.ending()
    assert code == ABNORMAL_CLOSURE
    message = chat_message(person, person)
    await other.send(message)
    assert await other.message() == message
