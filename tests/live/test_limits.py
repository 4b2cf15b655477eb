"""Rate limits and caps, small, on the running server. Each test comes from an address of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
from websockets.exceptions import ConnectionClosed

from construct_site.env import Config
from messaging.client.encryption import Keys
from tests.live.dialogue import Dialogue, Person, chat_message, code_of, codes_of, registration
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets, query
from tests.live.server import ServerFactory

MESSAGES, BLOCK_AT = 5, 8
SEARCHES, BUNDLES, ROTATIONS, REGISTRATIONS = 4, 3, 2, 3
FAILED_LOGINS = 3
SOCKETS_A_USER, SOCKETS_AN_ADDRESS = 3, 8
BAD_FRAMES = 5
FLOOD_FRAMES, FLOOD_BYTES = 20, 20_000
FLOOD_SPAN_S = 5

SETTINGS = {
    "CONSTRUCT_MESSAGES_PER_HOUR": str(MESSAGES),
    "CONSTRUCT_MESSAGES_BLOCK_AT": str(BLOCK_AT),
    "CONSTRUCT_SEARCHES_PER_MINUTE": str(SEARCHES),
    "CONSTRUCT_BUNDLES_PER_HOUR": str(BUNDLES),
    "CONSTRUCT_ROTATIONS_PER_DAY": str(ROTATIONS),
    "CONSTRUCT_REGISTRATIONS_PER_HOUR": str(REGISTRATIONS),
    "CONSTRUCT_FAILED_LOGINS_PER_NAME_ADDRESS": str(FAILED_LOGINS),
    "CONSTRUCT_CONNECTIONS_PER_USER": str(SOCKETS_A_USER),
    "CONSTRUCT_CONNECTIONS_PER_ADDRESS": str(SOCKETS_AN_ADDRESS),
    "CONSTRUCT_BAD_FRAMES_PER_MINUTE": str(BAD_FRAMES),
    "CONSTRUCT_FLOOD_FRAMES_PER_S": str(FLOOD_FRAMES),
    "CONSTRUCT_FLOOD_BYTES_PER_S": str(FLOOD_BYTES),
}

_addresses = (f"127.41.{number // 250}.{number % 250 + 1}" for number in count())


@pytest.fixture
async def sockets(nodes: Nodes) -> AsyncIterator[Sockets]:
    """Sockets from an address that no other test uses, and that no log may name."""
    opened = Sockets(nodes.here, nodes.private, source=next(_addresses))
    nodes.private.add(opened.source)
    async with opened:
        yield opened


def elsewhere(sockets: Sockets) -> Sockets:
    """Sockets from a further address."""
    return Sockets(sockets.server, sockets.private, source=next(_addresses))


async def test_messages_over_the_limit_are_refused_then_block_the_sender(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    _, b = await sockets.register()
    sent = [chat_message(a, b) for _ in range(BLOCK_AT + 2)]
    for message in sent[:MESSAGES]:
        await alice.send(message)
    refusals = [await alice.ask("sendMessage", message) for message in sent[MESSAGES:]]
    assert codes_of(refusals) == [
        *["RATE_LIMIT_EXCEEDED"] * (BLOCK_AT - MESSAGES - 1),
        "RATE_LIMIT_BLOCKED",
        "USER_BLOCKED",
        "USER_BLOCKED",
    ]
    assert all("minutes" in refusal["payload"]["message"] for refusal in refusals)
    await nodes.confirmed(b)
    bob = await sockets.resume(b)
    own = chat_message(b, b)
    await bob.send(own)
    assert await bob.message() == own, "what was refused was not stored"


async def test_messages_count_for_the_sockets_user_not_for_the_sender_that_a_frame_claims(
    sockets: Sockets,
) -> None:
    mallory, _ = await sockets.register()
    victim, v = await sockets.register()
    for _ in range(BLOCK_AT):
        assert await mallory.refusal("sendMessage", chat_message(v, v)) == "FORBIDDEN"
    await victim.send_to_present(chat_message(v, v))


async def test_searches_are_limited_across_processes(nodes: Nodes, sockets: Sockets) -> None:
    here, person = await sockets.register()
    there = await sockets.resume(person, nodes.there)
    search = {"query": person.username}
    for number in range(SEARCHES):
        socket = (here, there)[number % 2]
        assert (await socket.ask("searchUsers", search))["type"] == "searchResults"
    for socket in (here, there):
        refused = await socket.ask("searchUsers", search)
        assert code_of(refused) == "RATE_LIMIT_EXCEEDED"
        assert "second" in refused["payload"]["message"]


async def test_bundle_fetches_are_limited_across_processes(nodes: Nodes, sockets: Sockets) -> None:
    here, person = await sockets.register()
    there = await sockets.resume(person, nodes.there)
    fetch = {"userId": person.user_id}
    for number in range(BUNDLES):
        assert (await (here, there)[number % 2].ask("getPublicKey", fetch))["type"] == "publicKeyBundle"
    for socket in (here, there):
        assert await socket.refusal("getPublicKey", fetch) == "RATE_LIMIT_EXCEEDED"


async def test_rotations_are_limited(sockets: Sockets) -> None:
    keys = Keys.generate()
    socket, person = await sockets.register(publicKey=keys.bundle())
    for _ in range(ROTATIONS):
        keys = keys.rotated()
        rotation = {"userId": person.user_id, "update": keys.update()}
        assert (await socket.ask("rotatePrekey", rotation))["type"] == "keyRotationSuccess"
    rotation = {"userId": person.user_id, "update": keys.rotated().update()}
    assert await socket.refusal("rotatePrekey", rotation) == "RATE_LIMIT_EXCEEDED"


async def test_registrations_are_limited_per_address(nodes: Nodes, sockets: Sockets) -> None:
    for number in range(REGISTRATIONS):
        await sockets.register((nodes.here, nodes.there)[number % 2])
    for server in (nodes.here, nodes.there):
        socket = await sockets.open(server)
        assert await socket.refusal("register", registration()) == "RATE_LIMIT_EXCEEDED"
    async with elsewhere(sockets) as others:
        await others.register()


async def test_failed_logins_are_limited_per_name_and_address(nodes: Nodes, sockets: Sockets) -> None:
    _, person = await sockets.register()
    wrong = {"username": person.username, "password": "certainly wrong"}
    right = {"username": person.username.upper(), "password": person.password}
    async with elsewhere(sockets) as strangers:
        here, there = await strangers.open(nodes.here), await strangers.open(nodes.there)
        for number in range(FAILED_LOGINS):
            assert await (here, there)[number % 2].refusal("login", wrong) == "INVALID_CREDENTIALS"
        for socket in (here, there):
            assert await socket.refusal("login", right) == "RATE_LIMIT_EXCEEDED"
    known = await sockets.open()
    assert (await known.ask("login", right))["type"] == "loginSuccess", "who was there before is not shut out"


async def test_a_name_that_strangers_shut_is_open_where_its_owner_logged_in(
    nodes: Nodes, sockets: Sockets
) -> None:
    person = await sockets.register_absent()
    wrong = {"username": person.username, "password": "certainly wrong"}
    right = {"username": person.username, "password": person.password}
    assert (await (await sockets.open()).ask("login", right))["type"] == "loginSuccess"
    left = Config().failed_logins_per_name
    while left:
        async with elsewhere(sockets) as strangers:
            stranger = await strangers.open(nodes.here if left % 2 else nodes.there)
            for _ in range(min(left, FAILED_LOGINS)):
                assert await stranger.refusal("login", wrong) == "INVALID_CREDENTIALS"
                left -= 1
    for node in (nodes.here, nodes.there):
        async with elsewhere(sockets) as strangers:
            stranger = await strangers.open(node)
            assert await stranger.refusal("login", right) == "RATE_LIMIT_EXCEEDED"
        owner = await sockets.open(node)
        assert (await owner.ask("login", right))["type"] == "loginSuccess"


async def full_user(sockets: Sockets) -> tuple[list[Dialogue], Person]:
    socket, person = await sockets.register()
    others = [await sockets.resume(person) for _ in range(SOCKETS_A_USER - 1)]
    return [socket, *others], person


@pytest.mark.parametrize("way", ["connect", "login"])
async def test_at_the_cap_of_a_user_the_newest_socket_is_refused(
    way: str, nodes: Nodes, sockets: Sockets
) -> None:
    present, person = await full_user(sockets)
    newest = await sockets.open()
    credentials = {"username": person.username, "password": person.password}
    await newest.tell(way, credentials if way == "login" else {"sessionToken": person.token})
    frames, code = await newest.ending()
    assert codes_of(frames) == ["TOO_MANY_CONNECTIONS"]
    assert code == 4409
    for socket in present:
        await socket.finish()
    live = "SELECT count(*) FROM accounts_session WHERE revoked_at IS NULL AND user_id = {}"
    recipient = person.user_id if nodes.backing.name == "distributed" else person.user_id.replace("-", "")
    assert query(nodes.backing, live, recipient) == [(1,)], "nobody learnt a token of the refused login"


async def test_at_the_cap_of_a_user_silent_sockets_make_room(sockets: Sockets) -> None:
    awake, person = await sockets.register()
    silent = [await sockets.open_raw() for _ in range(SOCKETS_A_USER - 1)]
    for socket, _ in silent:
        await socket.connect(person)
    newest = await sockets.open()
    await newest.connect(person)
    for socket, _ in silent:
        frames, code = await socket.ending()
        assert (codes_of(frames), code) == (["RATE_LIMIT_EXCEEDED"], 4408)
    await awake.finish()
    await newest.finish()


async def test_a_full_address_is_refused_until_a_socket_ends(sockets: Sockets) -> None:
    present = [await sockets.open() for _ in range(SOCKETS_AN_ADDRESS)]
    frames, code = await (await sockets.open()).ending()
    assert (codes_of(frames), code) == (["TOO_MANY_CONNECTIONS"], 4409)
    await present[0].close()
    newest = await sockets.open()
    assert await newest.refusal("searchUsers", {"query": "any"}) == "AUTH_REQUIRED"


async def test_sockets_that_are_cut_are_counted_no_more(sockets: Sockets) -> None:
    """100 sockets, some logged in, some with requests under way, each cut without a close."""
    person = await sockets.register_absent()
    for number in range(100 // SOCKETS_AN_ADDRESS):
        batch = [await sockets.open_raw() for _ in range(SOCKETS_AN_ADDRESS)]
        for position, (socket, raw) in enumerate(batch):
            if position % 3 == 0 and number % 2:
                await socket.tell("connect", {"sessionToken": person.token})
            elif position % 3 == 1:
                await socket.tell("login", {"username": "nobody-" + "x" * 20, "password": "not a secret"})
            raw.abort()
        await room_for(sockets, SOCKETS_AN_ADDRESS)


async def room_for(sockets: Sockets, wanted: int) -> None:
    """Wait until the address may have so many sockets more."""
    async with asyncio.timeout(5):
        while not all([await is_let_in(await sockets.open()) for _ in range(wanted)]):
            await sockets.close()
            await asyncio.sleep(0.02)
    await sockets.close()


async def is_let_in(socket: Dialogue) -> bool:
    try:
        return await socket.refusal("searchUsers", {"query": "any"}) == "AUTH_REQUIRED"
    except ConnectionClosed:
        return False


async def test_too_many_bad_frames_end_the_socket_after_all_answers(sockets: Sockets) -> None:
    absent = await sockets.register_absent()
    socket, person = await sockets.register()
    for _ in range(3):
        await socket.tell("sendMessage", chat_message(person, absent))
    for _ in range(BAD_FRAMES):
        await socket.tell_bytes(b"\xc1")
    frames, code = await socket.ending()
    assert [frame["type"] for frame in frames[:3]] == ["ack"] * 3
    assert (codes_of(frames[3:]), code) == (["INVALID_FORMAT"] * BAD_FRAMES, 4400)


async def test_refused_values_are_no_bad_frames(sockets: Sockets) -> None:
    socket, _ = await sockets.register()
    for _ in range(2 * BAD_FRAMES):
        assert await socket.refusal("connect", {"sessionToken": "no token"}) == "INVALID_TOKEN"


async def test_too_many_frames_end_the_socket(sockets: Sockets) -> None:
    socket = await sockets.open()
    for _ in range(FLOOD_FRAMES * FLOOD_SPAN_S):
        await socket.tell("searchUsers", {"query": "any"})
    answers = [await socket.reply() for _ in range(FLOOD_FRAMES * FLOOD_SPAN_S)]
    assert set(codes_of(answers)) == {"AUTH_REQUIRED"}
    for _ in range(2 * FLOOD_FRAMES * FLOOD_SPAN_S):
        await socket.tell("searchUsers", {"query": "any"})
    frames, code = await socket.ending()
    assert code == 4429
    assert codes_of(frames)[-1] == "RATE_LIMIT_EXCEEDED"


async def test_too_many_bytes_end_the_socket(sockets: Sockets) -> None:
    socket = await sockets.open()
    size = FLOOD_BYTES * FLOOD_SPAN_S // 2
    for _ in range(4):
        await socket.tell("searchUsers", {"query": "any", "ignored": bytes(size)})
    frames, code = await socket.ending()
    assert code == 4429
    assert codes_of(frames)[-1] == "RATE_LIMIT_EXCEEDED"


@pytest.mark.parametrize("backing", ["embedded"], indirect=True)
async def test_switched_off_no_limit_holds(server_process: ServerFactory) -> None:
    server = server_process(**{**SHARED_SETTINGS, **SETTINGS, "CONSTRUCT_LIMITS": "off"})
    async with Sockets(server, server_process.private) as sockets:
        await exceed_everything(sockets)


async def exceed_everything(sockets: Sockets) -> None:
    alice, a = await sockets.register()
    for _ in range(BLOCK_AT + 1):
        await alice.send_to_present(chat_message(a, a))
    for _ in range(SEARCHES + 1):
        assert (await alice.ask("searchUsers", {"query": a.username}))["type"] == "searchResults"
    for _ in range(BAD_FRAMES + 1):
        assert await alice.refusal("nonsense") == "INVALID_FORMAT"
    for _ in range(SOCKETS_AN_ADDRESS + 1):
        await sockets.resume(a)
    for _ in range(REGISTRATIONS + 1):
        await sockets.register_absent()
    for _ in range(FLOOD_FRAMES * FLOOD_SPAN_S + 50):
        await alice.tell("getPublicKey", {"userId": a.user_id})
    for _ in range(FLOOD_FRAMES * FLOOD_SPAN_S + 50):
        assert (await alice.reply())["type"] == "publicKeyBundle"
