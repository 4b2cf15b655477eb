"""Blocks and message requests on the running server, on both processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.live.dialogue import Dialogue, Frame, Person, chat_message, code_of
from tests.live.nodes import Nodes, Sockets, run_in_another_process
from tests.live.rest import ask

SETTINGS = {"CONSTRUCT_DOORBELL_S": "5"}
"""So an ack tells whether the recipient is there on however busy a machine."""
CHANGE_S = 3 * 10
"""A change that no event tells is known within 10 s."""


async def change(nodes: Nodes, method: str, path: str, person: Person, body: object = None) -> None:
    status, answer = await ask(nodes.there, method, path, body, person.token)
    assert status in (200, 204), answer


@dataclass
class Twins:
    """Two who write to the same person, of whom one is blocked. Whatever they send, they get the same."""

    blocked: Dialogue
    free: Dialogue
    blocked_person: Person
    free_person: Person
    recipient: Person

    async def send(self, messages: list[tuple[Dialogue, Frame]]) -> str:
        """Both send their message, the blocked one first; gives the status that both get."""
        statuses = {await dialogue.send(message) for dialogue, message in messages}
        assert len(statuses) == 1, statuses
        return statuses.pop()

    def new(self) -> list[tuple[Dialogue, Frame]]:
        """A message of each, not sent yet."""
        return [
            (self.blocked, chat_message(self.blocked_person, self.recipient)),
            (self.free, chat_message(self.free_person, self.recipient)),
        ]


@pytest.fixture
async def twins(nodes: Nodes, sockets: Sockets) -> Twins:
    blocked, blocked_person = await sockets.register(nodes.here)
    free, free_person = await sockets.register(nodes.here)
    recipient = await sockets.register_absent(nodes.there)
    await change(nodes, "PUT", f"blocks/{blocked_person.user_id}", recipient)
    return Twins(blocked, free, blocked_person, free_person, recipient)


@pytest.mark.parametrize("place", ["here", "there"])
async def test_who_is_blocked_gets_what_others_get_and_is_not_heard(
    nodes: Nodes, sockets: Sockets, twins: Twins, place: str
) -> None:
    early = twins.new()
    assert await twins.send(early) == "queued"
    assert await twins.send(early) == "queued"
    changed = [(dialogue, {**message, "content": "QkJC"}) for dialogue, message in early]
    codes = [code_of(await dialogue.ask("sendMessage", message)) for dialogue, message in changed]
    assert codes == ["DUPLICATE_MESSAGE"] * 2

    recipient = await sockets.resume(twins.recipient, getattr(nodes, place))
    assert (await recipient.message())["from"] == twins.free_person.user_id
    greeting = twins.new()[1][1]
    await twins.free.send_to_present(greeting)
    assert await recipient.message() == greeting
    for _ in range(3):
        live = twins.new()
        assert await twins.send(live) == "delivered"
        assert await twins.send(live) == "delivered"
        assert await recipient.message() == live[1][1]
    await nodes.confirmed(twins.recipient)
    assert await twins.send(early) == "delivered"

    await change(nodes, "DELETE", f"blocks/{twins.blocked_person.user_id}", twins.recipient)
    last = chat_message(twins.blocked_person, twins.recipient)
    await twins.blocked.send(last)
    assert await recipient.message() == last


async def heard_by(dialogue: Dialogue) -> Frame | None:
    """The next message, if one comes within a moment."""
    try:
        return await asyncio.wait_for(dialogue.message(), 0.3)
    except TimeoutError:
        return None


async def test_strangers_wait_until_they_are_accepted_and_friends_do_not(
    nodes: Nodes, sockets: Sockets
) -> None:
    recipient, recipient_person = await sockets.register(nodes.here)
    stranger, stranger_person = await sockets.register(nodes.there)
    friend, friend_person = await sockets.register(nodes.there)
    await change(nodes, "PATCH", "contacts", recipient_person, {"acceptedOnly": True})
    await change(nodes, "PUT", f"contacts/{friend_person.user_id}", recipient_person)
    requests = [chat_message(stranger_person, recipient_person) for _ in range(3)]
    for message in requests:
        await stranger.send(message)
    greeting = chat_message(friend_person, recipient_person)
    await friend.send(greeting)
    assert await recipient.message() == greeting
    status, listed = await ask(nodes.there, "GET", "requests", token=recipient_person.token)
    assert status == 200
    (request,) = listed["requests"]
    assert (request["sender"]["id"], request["messages"]) == (stranger_person.user_id, 3)
    assert await heard_by(recipient) is None
    await change(nodes, "PUT", f"contacts/{stranger_person.user_id}", recipient_person)
    assert await recipient.messages(3) == requests
    status, listed = await ask(nodes.there, "GET", "requests", token=recipient_person.token)
    assert (status, listed) == (200, {"requests": [], "next": None})


async def test_whom_one_writes_to_may_answer(nodes: Nodes, sockets: Sockets) -> None:
    alice, alice_person = await sockets.register(nodes.here)
    bob, bob_person = await sockets.register(nodes.there)
    await change(nodes, "PATCH", "contacts", alice_person, {"acceptedOnly": True})
    early = chat_message(bob_person, alice_person)
    assert await bob.send(early) == "queued"
    assert await heard_by(alice) is None
    await alice.send(chat_message(alice_person, bob_person))
    assert await alice.message() == early
    await bob.send(late := chat_message(bob_person, alice_person))
    assert await alice.message() == late
    _, listed = await ask(nodes.here, "GET", "contacts", token=alice_person.token)
    assert [each["id"] for each in listed["contacts"]] == [bob_person.user_id]


async def test_a_message_to_oneself_is_no_request(nodes: Nodes, sockets: Sockets) -> None:
    alice, alice_person = await sockets.register(nodes.here)
    await change(nodes, "PATCH", "contacts", alice_person, {"acceptedOnly": True})
    note = chat_message(alice_person, alice_person)
    await alice.send(note)
    assert await alice.message() == note


async def test_what_waits_is_handed_once_everybody_may_write(nodes: Nodes, sockets: Sockets) -> None:
    recipient, recipient_person = await sockets.register(nodes.here)
    stranger, stranger_person = await sockets.register(nodes.there)
    await change(nodes, "PATCH", "contacts", recipient_person, {"acceptedOnly": True})
    request = chat_message(stranger_person, recipient_person)
    await stranger.send(request)
    assert await heard_by(recipient) is None
    await change(nodes, "PATCH", "contacts", recipient_person, {"acceptedOnly": False})
    assert await recipient.message() == request


async def test_an_acceptance_that_no_event_told_is_found_by_the_sweep(nodes: Nodes, sockets: Sockets) -> None:
    recipient, recipient_person = await sockets.register(nodes.here)
    stranger, stranger_person = await sockets.register(nodes.there)
    await change(nodes, "PATCH", "contacts", recipient_person, {"acceptedOnly": True})
    request = chat_message(stranger_person, recipient_person)
    await stranger.send(request)
    ids = f"UUID({recipient_person.user_id!r}), UUID({stranger_person.user_id!r})"
    quiet = "from construct_site import events; events._send = lambda event: None"
    code = f"{quiet}; from uuid import UUID; from messaging import contacts; contacts.accept({ids})"
    await asyncio.to_thread(run_in_another_process, nodes.backing, code)
    assert await asyncio.wait_for(recipient.message(), CHANGE_S) == request


async def test_what_is_declined_comes_no_more(nodes: Nodes, sockets: Sockets) -> None:
    recipient, recipient_person = await sockets.register(nodes.here)
    stranger, stranger_person = await sockets.register(nodes.there)
    await change(nodes, "PATCH", "contacts", recipient_person, {"acceptedOnly": True})
    declined = chat_message(stranger_person, recipient_person)
    await stranger.send(declined)
    status, answer = await ask(
        nodes.here, "DELETE", f"requests/{stranger_person.user_id}", token=recipient_person.token
    )
    assert (status, answer) == (200, {"dropped": 1})
    later = chat_message(stranger_person, recipient_person)
    await stranger.send(later)
    await change(nodes, "PUT", f"contacts/{stranger_person.user_id}", recipient_person)
    assert await recipient.message() == later
    assert nodes.waiting(recipient_person) <= 1
