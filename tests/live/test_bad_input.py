"""What must not work: one clear error, the socket open, nothing stored."""

from __future__ import annotations

import asyncio
import secrets

import msgpack
import pytest

from messaging.client.encryption import Keys
from tests.live.dialogue import (
    Frame,
    chat_message,
    chat_messages,
    code_of,
    new_username,
    packed,
    registration,
)
from tests.live.nodes import Nodes, Sockets, query

SETTINGS = {
    "CONSTRUCT_MAILBOX_MESSAGES": "16",
    "CONSTRUCT_MAILBOX_BYTES": "20000",
    "CONSTRUCT_BAD_FRAMES_PER_MINUTE": "1000",
}
SHARE = 4

UNREADABLE: dict[str, bytes | str] = {
    "text": '{"type": "logout", "payload": {}}',
    "JSON": b'{"type": "logout", "payload": {"sessionToken": ""}}',
    "nothing but a byte": b"\xc1",
    "trailing bytes": packed("logout", {"sessionToken": ""}) + b"\x00",
    "a repeated key": b"\x82\xa4type\xa6logout\xa4type\xa6logout",
    "an unknown type": packed("steal", {}),
    "a server's type": packed("message", {}),
    "a type that is a number": msgpack.packb({"type": 1, "payload": {}}),
    "no payload": msgpack.packb({"type": "searchUsers"}),
    "a missing field": packed("searchUsers", {}),
    "a nil field": packed("searchUsers", {"query": None}),
    "a number for a string": packed("searchUsers", {"query": 1}),
    "bytes for a string": packed("searchUsers", {"query": b"any"}),
    "a long query": packed("searchUsers", {"query": "q" * 65}),
    "broken UTF-8": b"\x82\xa4type\xabsearchUsers\xa7payload\x81\xa5query\xa2\xff\xff",
    "an extension type": packed("searchUsers", {"query": msgpack.ExtType(5, b"any")}),
    "a timestamp": packed("searchUsers", {"query": msgpack.Timestamp(1)}),
    "deep nesting": packed("searchUsers", {"query": [[[[[]]]]]}),
    "an array for the frame": msgpack.packb(["searchUsers", {"query": "any"}]),
    "an array for the payload": msgpack.packb({"type": "searchUsers", "payload": ["any"]}),
}


@pytest.mark.parametrize("fault", UNREADABLE)
async def test_an_unreadable_frame_is_answered_and_the_socket_goes_on(fault: str, sockets: Sockets) -> None:
    socket, person = await sockets.register()
    await socket.tell_bytes(UNREADABLE[fault])
    assert code_of(await socket.reply()) == "INVALID_FORMAT"
    await socket.send_to_present(chat_message(person, person))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": "x" * 36}, "INVALID_MESSAGE_FORMAT"),
        ({"to": "nobody"}, "INVALID_MESSAGE_FORMAT"),
        ({"from": "{" + "0" * 34 + "}"}, "INVALID_MESSAGE_FORMAT"),
        ({"ephemeralPublicKey": bytes(31)}, "INVALID_MESSAGE_FORMAT"),
        ({"ephemeralPublicKey": [256] * 32}, "INVALID_MESSAGE_FORMAT"),
        ({"messageNumber": 2**32}, "INVALID_MESSAGE_FORMAT"),
        ({"content": "AAA"}, "INVALID_MESSAGE_FORMAT"),
        ({"content": "AA=="[:3] + "A" + "===="}, "INVALID_MESSAGE_FORMAT"),
        ({"content": "____"}, "INVALID_MESSAGE_FORMAT"),
        ({"content": "A" * 98_308}, "MESSAGE_TOO_LARGE"),
        ({"messageNumber": -1}, "INVALID_FORMAT"),
        ({"messageNumber": 0.5}, "INVALID_FORMAT"),
        ({"messageNumber": True}, "INVALID_FORMAT"),
        ({"messageNumber": "1"}, "INVALID_FORMAT"),
        ({"timestamp": None}, "INVALID_FORMAT"),
        ({"content": b"AAAA"}, "INVALID_FORMAT"),
    ],
    ids=repr,
)
async def test_a_message_with_a_bad_field_is_refused_and_not_stored(
    changes: Frame, code: str, nodes: Nodes, sockets: Sockets
) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    assert await alice.refusal("sendMessage", chat_message(a, b) | changes) == code
    assert nodes.waiting(b) == 0


async def test_a_message_in_somebody_elses_name_is_forbidden_before_anything_is_looked_up(
    nodes: Nodes, sockets: Sockets
) -> None:
    mallory, m = await sockets.register()
    a, b = await sockets.register_absent(), await sockets.register_absent()
    assert await mallory.refusal("sendMessage", chat_message(a, b)) == "FORBIDDEN"
    to_nobody = chat_message(a, b) | {"to": "00000000-0000-4000-8000-000000000000"}
    assert await mallory.refusal("sendMessage", to_nobody) == "FORBIDDEN"
    assert nodes.waiting(b) == 0
    await mallory.send_to_present(chat_message(m, m))


async def test_rotating_somebody_elses_key_is_forbidden(sockets: Sockets) -> None:
    keys = Keys.generate()
    victim, v = await sockets.register(publicKey=keys.bundle())
    mallory, _ = await sockets.register()
    before = await victim.ask("getPublicKey", {"userId": v.user_id})
    for update in (keys.rotated().update(), Keys.generate().update(), "not base64"):
        assert (
            await mallory.refusal("rotatePrekey", {"userId": v.user_id.upper(), "update": update})
            == "FORBIDDEN"
        )
    assert await mallory.refusal("rotatePrekey", {"userId": "nobody", "update": "AAAA"}) == "INVALID_USER_ID"
    assert await victim.ask("getPublicKey", {"userId": v.user_id}) == before


async def test_a_rotation_is_taken_once_again_and_never_back(sockets: Sockets) -> None:
    first = Keys.generate()
    second = first.rotated()
    socket, person = await sockets.register(publicKey=first.bundle())
    own = {"userId": person.user_id}
    for _ in range(2):
        assert await socket.ask("rotatePrekey", own | {"update": second.update()}) == {
            "type": "keyRotationSuccess"
        }
    assert await socket.refusal("rotatePrekey", own | {"update": first.update()}) == "INVALID_UPDATE"
    forged = Keys(first.identity, Keys.generate().signing, first.rotated().prekeys)
    assert await socket.refusal("rotatePrekey", own | {"update": forged.update()}) == "INVALID_UPDATE"


async def test_a_mailbox_cannot_be_read_after_a_logout(nodes: Nodes, sockets: Sockets) -> None:
    bob, b = await sockets.register(nodes.there)
    alice, a = await sockets.register()
    await alice.ask("logout", {"sessionToken": a.token})
    message = chat_message(b, a)
    await bob.send_to_absent(message)
    assert await alice.ask("connect", {"sessionToken": a.token}) == {"type": "sessionExpired"}
    assert await alice.refusal("received", {"messageIds": [message["id"]]}) == "AUTH_REQUIRED"
    assert nodes.waiting(a) == 1
    await alice.ask("login", {"username": a.username, "password": a.password})
    assert await alice.message() == message


@pytest.mark.parametrize("query_text", ["", " ", "a", "%", "%%", "___", "\\%", "\x00\x00\x00", "' OR 1=1 --"])
async def test_a_search_for_nothing_or_for_wildcards_finds_nobody(query_text: str, sockets: Sockets) -> None:
    socket, _ = await sockets.register()
    found = await socket.ask("searchUsers", {"query": query_text})
    assert found == {"type": "searchResults", "payload": {"users": []}}


async def test_of_two_registrations_of_a_name_at_once_one_wins(nodes: Nodes, sockets: Sockets) -> None:
    for _ in range(5):
        first, second = await sockets.open(nodes.here), await sockets.open(nodes.there)
        name = new_username()
        wanted = [registration(username=name), registration(username=name.upper())]
        replies = await asyncio.gather(first.ask("register", wanted[0]), second.ask("register", wanted[1]))
        assert sorted(reply["type"] for reply in replies) == ["error", "registerSuccess"]
        won = 0 if replies[0]["type"] == "registerSuccess" else 1
        assert code_of(replies[1 - won]) == "USERNAME_TAKEN"
        winner, loser = ((first, second), (second, first))[won]
        user_id = replies[won]["payload"]["userId"]
        assert await loser.refusal("searchUsers", {"query": name}) == "AUTH_REQUIRED"
        found = await winner.ask("searchUsers", {"query": name})
        assert [user["id"] for user in found["payload"]["users"]] == [user_id]
        for attempt, expected in ((won, "loginSuccess"), (1 - won, "error")):
            login = {"username": name, "password": wanted[attempt]["password"]}
            assert (await loser.ask("login", login))["type"] == expected
        accounts = query(nodes.backing, "SELECT count(*) FROM accounts_user WHERE username_folded = {}", name)
        assert accounts == [(1,)]


async def test_a_refused_registration_leaves_the_name_free(nodes: Nodes, sockets: Sockets) -> None:
    socket = await sockets.open()
    name = new_username()
    for changes, code in (
        ({"password": "short"}, "WEAK_PASSWORD"),
        ({"password": "password1"}, "WEAK_PASSWORD"),
        ({"displayName": "\x07"}, "INVALID_DISPLAY_NAME"),
        ({"publicKey": "!"}, "INVALID_KEY"),
        ({"publicKey": "AAAA"}, "INVALID_KEY_BUNDLE"),
        ({"publicKey": Keys.generate().update()}, "INVALID_KEY_BUNDLE"),
    ):
        assert await socket.refusal("register", registration(username=name, **changes)) == code
    assert await socket.refusal("register", registration(username="a b")) == "INVALID_USERNAME"
    assert await socket.refusal("searchUsers", {"query": name}) == "AUTH_REQUIRED"
    assert query(nodes.backing, "SELECT count(*) FROM accounts_user WHERE username = {}", name) == [(0,)]
    await socket.register(username=name)


async def test_an_unknown_user_and_a_wrong_password_read_the_same(sockets: Sockets) -> None:
    _, person = await sockets.register()
    socket = await sockets.open()
    wrong = await socket.ask("login", {"username": person.username, "password": secrets.token_hex(8)})
    unknown = await socket.ask("login", {"username": new_username(), "password": secrets.token_hex(8)})
    assert wrong == unknown
    assert code_of(wrong) == "INVALID_CREDENTIALS"


async def test_one_sender_fills_no_more_than_a_share_of_a_mailbox(nodes: Nodes, sockets: Sockets) -> None:
    mallory, m = await sockets.register()
    carol, c = await sockets.register(nodes.there)
    victim = await sockets.register_absent()
    most = int(SETTINGS["CONSTRUCT_MAILBOX_MESSAGES"])
    share = most // SHARE
    kept = chat_messages(m, victim, share)
    for message in kept:
        await mallory.send_to_absent(message)
    assert await mallory.refusal("sendMessage", chat_message(m, victim)) == "MAILBOX_FULL"
    assert await mallory.send(kept[0]) == "queued", "a repeat of what is stored is no new message"
    from_carol = chat_message(c, victim)
    assert await carol.send(from_carol) == "queued"
    assert nodes.waiting(victim) == share + 1
    returned = await sockets.resume(victim, nodes.there)
    assert await returned.messages(share + 1) == [*kept, from_carol]
    await nodes.confirmed(victim)
    await mallory.send_to_present(chat_message(m, victim))


async def test_one_sender_fills_no_more_than_a_share_of_a_mailboxs_bytes(
    nodes: Nodes, sockets: Sockets
) -> None:
    mallory, m = await sockets.register()
    carol, c = await sockets.register(nodes.there)
    victim = await sockets.register_absent()
    assert int(SETTINGS["CONSTRUCT_MAILBOX_BYTES"]) // SHARE < 6000
    await mallory.send_to_absent(chat_message(m, victim, size=6000))
    assert await mallory.refusal("sendMessage", chat_message(m, victim, size=30)) == "MAILBOX_FULL"
    assert await carol.send(chat_message(c, victim, size=30)) == "queued"
    assert nodes.waiting(victim) == 2


async def test_a_full_mailbox_takes_nothing_from_anyone(nodes: Nodes, sockets: Sockets) -> None:
    victim = await sockets.register_absent()
    most = int(SETTINGS["CONSTRUCT_MAILBOX_MESSAGES"])
    for _ in range(SHARE):
        sender, s = await sockets.register()
        for message in chat_messages(s, victim, most // SHARE, size=30):
            await sender.send_to_absent(message)
    late, last = await sockets.register(nodes.there)
    refused = chat_message(last, victim, size=30)
    assert await late.refusal("sendMessage", refused) == "MAILBOX_FULL"
    assert nodes.waiting(victim) == most
    returned = await sockets.resume(victim)
    assert len(await returned.messages(most)) == most
    await nodes.confirmed(victim)
    await late.send_to_present(refused)
