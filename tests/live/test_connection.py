"""The life of a connection: the handshake, who may speak, the order of replies, changes of identity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from messaging.client.encryption import Keys
from tests.live.dialogue import Dialogue, Frame, chat_message, chat_messages, code_of, registration
from tests.live.nodes import Nodes, Sockets
from tests.live.raw import HandshakeRefused, RawSocket
from tests.live.server import Server

SETTINGS = {"CONSTRUCT_ORIGINS": "https://chat.example", "CONSTRUCT_SEARCHES_PER_MINUTE": "500"}
UNKNOWN_TOKEN = "construct_" + "A" * 43
REQUESTS: dict[str, Frame] = {
    "searchUsers": {"query": "anybody"},
    "getPublicKey": {"userId": "00000000-0000-4000-8000-000000000000"},
    "rotatePrekey": {"userId": "00000000-0000-4000-8000-000000000000", "update": "AAAA"},
    "sendMessage": {
        "id": "00000000-0000-4000-8000-000000000001",
        "from": "00000000-0000-4000-8000-000000000000",
        "to": "00000000-0000-4000-8000-000000000000",
        "ephemeralPublicKey": bytes(32),
        "messageNumber": 0,
        "content": "AAAA",
        "timestamp": 0,
    },
    "received": {"messageIds": []},
}


@asynccontextmanager
async def websocket(server: Server, path: str = "/ws", **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None, **options) as connection:
        yield connection


async def search(connection: ClientConnection) -> Frame:
    await connection.send(msgpack.packb({"type": "searchUsers", "payload": {"query": "any"}}))
    answer: Frame = msgpack.unpackb(await connection.recv(decode=False))
    return answer


# The handshake


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/", "/ws?room=1"])
async def test_the_socket_opens_at(path: str, nodes: Nodes) -> None:
    async with websocket(nodes.here, path) as connection:
        assert code_of(await search(connection)) == "AUTH_REQUIRED"


@pytest.mark.parametrize("path", ["/wss", "/ws/room", "//", "/admin/", "/WS", "/%77s/x"])
async def test_the_socket_does_not_open_at(path: str, nodes: Nodes) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(nodes.here, path):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "origin",
    [None, "http://127.0.0.1:3000", "http://localhost", "https://chat.example", "HTTPS://Chat.Example"],
)
async def test_the_socket_opens_for_the_origin(origin: str | None, nodes: Nodes) -> None:
    async with websocket(nodes.here, origin=origin) as connection:
        assert code_of(await search(connection)) == "AUTH_REQUIRED"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://chat.example",
        "https://chat.example.evil.example",
        "https://chat.example:444",
        "null",
        "file://",
        "http://[",
    ],
)
async def test_the_socket_does_not_open_for_the_origin(origin: str, nodes: Nodes) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(nodes.here, origin=origin):
            pass
    # 400: autobahn takes the header for no origin at all.
    assert refused.value.response.status_code in (400, 403)


async def test_the_root_path_of_a_header_is_ignored(nodes: Nodes) -> None:
    async with websocket(
        nodes.here, "/ws", additional_headers={"Daphne-Root-Path": "/elsewhere"}
    ) as connection:
        assert code_of(await search(connection)) == "AUTH_REQUIRED"
    with pytest.raises(InvalidStatus):
        async with websocket(
            nodes.here, "/elsewhere/ws", additional_headers={"Daphne-Root-Path": "/elsewhere"}
        ):
            pass


async def test_compression_is_not_agreed_on(nodes: Nodes) -> None:
    async with websocket(nodes.here, compression="deflate") as connection:
        assert connection.protocol.extensions == []


async def test_a_refused_handshake_leaves_the_next_one_alone(nodes: Nodes) -> None:
    with pytest.raises(HandshakeRefused):
        await RawSocket.open(nodes.here.port, path="/nowhere")
    async with websocket(nodes.here) as connection:
        assert code_of(await search(connection)) == "AUTH_REQUIRED"


# Before a login


@pytest.mark.parametrize("kind", REQUESTS)
async def test_nothing_is_answered_before_a_login_but_that_it_is_needed(kind: str, sockets: Sockets) -> None:
    socket = await sockets.open()
    assert await socket.refusal(kind, REQUESTS[kind]) == "AUTH_REQUIRED"
    assert await socket.refusal(kind, REQUESTS[kind]) == "AUTH_REQUIRED"


async def test_an_unknown_token_is_expired_and_a_shapeless_one_is_invalid(sockets: Sockets) -> None:
    socket = await sockets.open()
    assert await socket.ask("connect", {"sessionToken": UNKNOWN_TOKEN}) == {"type": "sessionExpired"}
    for shapeless in ("", "token", UNKNOWN_TOKEN + "A", UNKNOWN_TOKEN[:-1]):
        assert await socket.refusal("connect", {"sessionToken": shapeless}) == "INVALID_TOKEN"
    assert await socket.refusal("searchUsers", {"query": "any"}) == "AUTH_REQUIRED"


async def test_logging_out_an_unknown_token_succeeds(sockets: Sockets) -> None:
    socket = await sockets.open()
    assert await socket.ask("logout", {"sessionToken": "nobody's"}) == {"type": "logoutSuccess"}


# Replies


async def test_every_kind_of_reply_names_what_it_must(sockets: Sockets) -> None:
    socket, person = await sockets.register(displayName="A Name")
    success = await socket.ask("login", {"username": person.username, "password": person.password})
    assert success["type"] == "loginSuccess"
    assert success["payload"].keys() == {"userId", "username", "displayName", "sessionToken", "expires"}
    assert success["payload"]["displayName"] == "A Name"
    resumed = await socket.connect(person)
    assert resumed.keys() == {"userId", "username", "displayName", "expires"}
    assert resumed["userId"] == person.user_id == person.user_id.lower()
    found = await socket.ask("searchUsers", {"query": person.username})
    assert found["payload"]["users"] == [
        {
            "id": person.user_id,
            "username": person.username,
            "displayName": "A Name",
            "avatarUrl": None,
            "bio": None,
        }
    ]
    served = await socket.ask("getPublicKey", {"userId": person.user_id.upper()})
    assert served["payload"].keys() == {
        "userId", "username", "identityPublic", "signedPrekeyPublic", "signature", "verifyingKey",
    }  # fmt: skip


async def test_replies_keep_the_order_of_requests_written_at_once(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    messages = chat_messages(a, b, 80)
    for message in messages:
        await alice.tell("sendMessage", message)
        await alice.tell("searchUsers", {"query": a.username})
        await alice.tell("getPublicKey", {"userId": "nobody"}, requestId=message["id"])
    for message in messages:
        ack, found, refused = [await alice.reply() for _ in range(3)]
        assert ack["payload"]["messageId"] == message["id"]
        assert [user["id"] for user in found["payload"]["users"]] == [a.user_id]
        assert refused["payload"]["requestId"] == message["id"]
    assert await bob.messages(80) == messages


async def test_messages_do_not_wait_for_replies(sockets: Sockets) -> None:
    """A login is a barrier for requests; what others send meanwhile is delivered all the same."""
    alice, a = await sockets.register()
    bob, b = await sockets.register()
    message = chat_message(a, b)
    for _ in range(20):
        await bob.tell("searchUsers", {"query": b.username})
    await asyncio.gather(alice.send(message), bob.message())
    assert [(await bob.reply())["type"] for _ in range(20)] == ["searchResults"] * 20


async def test_a_login_between_sends_is_a_barrier(nodes: Nodes, sockets: Sockets) -> None:
    bob, b = await sockets.register(nodes.there)
    carol = await sockets.register_absent()
    socket, a = await sockets.register()
    as_alice, as_carol = chat_messages(a, b, 20), chat_messages(carol, b, 20)
    for message in as_alice:
        await socket.tell("sendMessage", message)
    await socket.tell("connect", {"sessionToken": carol.token})
    for message in as_carol:
        await socket.tell("sendMessage", message)
    kinds = [(await socket.reply())["type"] for _ in range(41)]
    assert kinds == ["ack"] * 20 + ["connectSuccess"] + ["ack"] * 20
    assert await bob.messages(40) == as_alice + as_carol


async def test_a_logout_between_sends_is_a_barrier(sockets: Sockets) -> None:
    socket, a = await sockets.register()
    first, second = chat_messages(a, a, 2)
    await socket.tell("sendMessage", first)
    await socket.tell("logout", {"sessionToken": a.token})
    await socket.tell("sendMessage", second)
    kinds = [await socket.reply() for _ in range(3)]
    assert [frame["type"] for frame in kinds] == ["ack", "logoutSuccess", "error"]
    assert code_of(kinds[2]) == "AUTH_REQUIRED"


async def test_requests_before_a_logout_are_carried_out_as_who_asked(sockets: Sockets) -> None:
    keys = Keys.generate()
    socket, a = await sockets.register(publicKey=keys.bundle())
    for _ in range(5):
        keys = keys.rotated()
        await socket.tell("rotatePrekey", {"userId": a.user_id, "update": keys.update()})
        await socket.tell("getPublicKey", {"userId": a.user_id})
    await socket.tell("logout", {"sessionToken": a.token})
    kinds = [(await socket.reply())["type"] for _ in range(11)]
    assert kinds == ["keyRotationSuccess", "publicKeyBundle"] * 5 + ["logoutSuccess"]


async def test_an_error_names_its_request(sockets: Sockets) -> None:
    alice, a = await sockets.register()
    message = chat_message(a, a, content="not base64")
    for envelope, payload, expected in (
        ({"requestId": "mine"}, message, "mine"),
        ({}, message, message["id"]),
        ({"requestId": "x" * 65}, message, message["id"]),
        ({"requestId": 7}, message, message["id"]),
    ):
        refused = await alice.ask("sendMessage", payload, **envelope)
        assert (code_of(refused), refused["payload"]["requestId"]) == ("INVALID_MESSAGE_FORMAT", expected)
    named = await alice.ask("getPublicKey", {"userId": "nobody"}, requestId="r-1")
    assert (code_of(named), named["payload"]["requestId"]) == ("INVALID_USER_ID", "r-1")
    unnamed = await alice.ask("getPublicKey", {"userId": "nobody"})
    assert "requestId" not in unnamed["payload"]


# Changes of identity


async def test_a_socket_that_becomes_somebody_else_gets_nothing_more_for_who_it_was(
    nodes: Nodes, sockets: Sockets
) -> None:
    carol, c = await sockets.register(nodes.there)
    socket, a = await sockets.register()
    b = await sockets.register_absent()
    await socket.connect(b)
    to_former, to_present = chat_message(c, a), chat_message(c, b)
    await carol.send_to_absent(to_former)
    await carol.send_to_present(to_present)
    assert await socket.message() == to_present
    assert await (await sockets.resume(a)).message() == to_former


async def test_a_socket_speaks_for_who_it_is_now(sockets: Sockets) -> None:
    socket, a = await sockets.register()
    b = await sockets.register_absent()
    await socket.connect(b)
    assert await socket.refusal("sendMessage", chat_message(a, b)) == "FORBIDDEN"
    assert await socket.send(chat_message(b, a)) in ("queued", "delivered")


async def test_failed_logins_leave_the_socket_who_it_was(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    bob, b = await sockets.register(nodes.there)
    wrong = {"username": b.username, "password": "certainly wrong"}
    assert await alice.refusal("login", wrong) == "INVALID_CREDENTIALS"
    assert await alice.refusal("connect", {"sessionToken": "x"}) == "INVALID_TOKEN"
    assert await alice.ask("connect", {"sessionToken": UNKNOWN_TOKEN}) == {"type": "sessionExpired"}
    assert await alice.refusal("register", registration(username=b.username)) == "USERNAME_TAKEN"
    to_alice = chat_message(b, a)
    await bob.send_to_present(to_alice)
    assert await alice.message() == to_alice
    await alice.send_to_present(chat_message(a, b))


async def test_a_socket_can_register_twice(nodes: Nodes, sockets: Sockets) -> None:
    socket, first = await sockets.register()
    second = await socket.register()
    assert first.user_id != second.user_id
    bob, b = await sockets.register(nodes.there)
    message = chat_message(b, second)
    await bob.send_to_present(message)
    assert await socket.message() == message
    assert (await (await sockets.open()).connect(first))["userId"] == first.user_id


async def test_a_socket_that_resumes_its_own_session_goes_on(sockets: Sockets) -> None:
    socket, a = await sockets.register()
    await socket.connect(a)
    first, second = chat_messages(a, a, 2)
    for message in (first, second):
        await socket.send_to_present(message)
    assert await socket.messages(2) == [first, second]


async def test_after_a_logout_the_socket_stays_open_and_can_log_in_again(sockets: Sockets) -> None:
    socket, a = await sockets.register()
    assert await socket.ask("logout", {"sessionToken": a.token}) == {"type": "logoutSuccess"}
    assert await socket.refusal("searchUsers", {"query": "any"}) == "AUTH_REQUIRED"
    assert await socket.ask("connect", {"sessionToken": a.token}) == {"type": "sessionExpired"}
    again = await socket.ask("login", {"username": a.username, "password": a.password})
    assert again["type"] == "loginSuccess"
    await socket.send_to_present(chat_message(a, a))


async def test_logging_out_another_session_leaves_the_socket_logged_in(sockets: Sockets) -> None:
    socket, a = await sockets.register()
    other = await sockets.open()
    login = await other.ask("login", {"username": a.username, "password": a.password})
    await other.close()
    token = login["payload"]["sessionToken"]
    assert await socket.ask("logout", {"sessionToken": token}) == {"type": "logoutSuccess"}
    await socket.send_to_present(chat_message(a, a))
    assert await (await sockets.open()).ask("connect", {"sessionToken": token}) == {"type": "sessionExpired"}


async def test_server_frames_begin_with_their_type(sockets: Sockets) -> None:
    socket: Dialogue = await sockets.open()
    await socket.tell("searchUsers", {"query": "any"})
    raw = await socket.transport.recv()
    assert isinstance(raw, bytes)
    assert raw.startswith(b"\x82\xa4type\xa5error\xa7payload\x82\xa4code\xadAUTH_REQUIRED\xa7message")
