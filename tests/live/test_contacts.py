"""Blocks and message requests on the running server, on both processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.live.dialogue import Dialogue, Frame, Person, chat_message, chat_messages, code_of
from tests.live.nodes import Nodes, Sockets, run_in_another_process
from tests.live.rest import ask
from tests.live.server import Server

SETTINGS = {"CONSTRUCT_DOORBELL_S": "5"}
"""So an ack tells whether the recipient is there on however busy a machine."""
Pair = list[tuple[Dialogue, Frame]]
"""Of each of two the socket and the message."""
CHANGE_S = 3 * 10
"""A change that no event tells is known within 10 s."""


async def change(nodes: Nodes, method: str, path: str, person: Person, body: object = None) -> None:
    status, answer = await ask(nodes.there, method, path, body, person.token)
    assert status in (200, 204), answer


async def send(*messages: Pair) -> str:
    """Both send each pair, in its order; gives the status that every ack has."""
    statuses = {await dialogue.send(message) for pair in messages for dialogue, message in pair}
    assert len(statuses) == 1, statuses
    return statuses.pop()


async def assert_taken(*messages: Pair) -> None:
    """Another message under the id of one that was sent is refused to both."""
    changed = [(dialogue, message | {"content": "QkJC"}) for pair in messages for dialogue, message in pair]
    codes = [code_of(await dialogue.ask("sendMessage", message)) for dialogue, message in changed]
    assert codes == ["DUPLICATE_MESSAGE"] * len(changed)


@dataclass
class Twins:
    """Two who write to the same person, who blocks one of them. Whatever they send, they get the same."""

    nodes: Nodes
    blocked: Dialogue
    free: Dialogue
    blocked_person: Person
    free_person: Person
    recipient: Person

    def new(self) -> Pair:
        """A message of each, not sent yet, that of the blocked one first."""
        return [
            (self.blocked, chat_message(self.blocked_person, self.recipient)),
            (self.free, chat_message(self.free_person, self.recipient)),
        ]

    async def block(self) -> None:
        await change(self.nodes, "PUT", f"blocks/{self.blocked_person.user_id}", self.recipient)

    async def unblock(self) -> None:
        await change(self.nodes, "DELETE", f"blocks/{self.blocked_person.user_id}", self.recipient)


@pytest.fixture
async def twins(nodes: Nodes, sockets: Sockets) -> Twins:
    blocked, blocked_person = await sockets.register(nodes.here)
    free, free_person = await sockets.register(nodes.here)
    recipient = await sockets.register_absent(nodes.there)
    return Twins(nodes, blocked, free, blocked_person, free_person, recipient)


async def store(recipient: Dialogue, *messages: Frame) -> None:
    """The client says that it stored these; one without receipts says nothing that way."""
    await recipient.tell("received", {"messageIds": [message["id"] for message in messages]})


async def settled(nodes: Nodes, sockets: Sockets, recipient: Dialogue, server: Server | None = None) -> None:
    """Wait until all pongs to this socket of `server` have come, and what they confirmed is on disk.

    Where no server is named it is the one of `there`.
    """
    for _ in range(3):
        await recipient.finish()
    bystander, person = await sockets.register(server or nodes.there)
    await bystander.send(chat_message(person, person))
    await nodes.confirmed(person)
    await bystander.close()


async def heard_by(dialogue: Dialogue) -> Frame | None:
    """The next message, if one comes within a moment."""
    try:
        return await asyncio.wait_for(dialogue.message(), 0.3)
    except TimeoutError:
        return None


@pytest.mark.parametrize("receipts", [False, True])
async def test_what_was_sent_before_during_and_after_a_block_waits_alike(
    nodes: Nodes, sockets: Sockets, twins: Twins, *, receipts: bool
) -> None:
    before = twins.new()
    assert await send(before, before) == "queued"
    await twins.block()
    during = twins.new()
    assert await send(before, during, before, during) == "queued"
    await assert_taken(before, during)
    await twins.unblock()
    after = twins.new()
    assert await send(before, during, after, before, during, after) == "queued"
    await assert_taken(before, during, after)

    recipient = await sockets.resume(twins.recipient, nodes.there, receipts=receipts)
    heard = [before[1][1], during[1][1], after[0][1], after[1][1]]
    assert await recipient.messages(4) == heard
    assert await send(before, during, after) == "delivered"
    await store(recipient, *heard)
    await nodes.confirmed(twins.recipient)
    await recipient.close()
    assert await send(before, during, after) == "delivered"
    await assert_taken(before, during, after)
    assert await send(twins.new()) == "queued"


@pytest.mark.parametrize("receipts", [False, True])
@pytest.mark.parametrize("place", ["here", "there"])
async def test_what_was_sent_before_during_and_after_a_block_is_delivered_alike(
    nodes: Nodes, sockets: Sockets, twins: Twins, place: str, *, receipts: bool
) -> None:
    recipient = await sockets.resume(twins.recipient, getattr(nodes, place), receipts=receipts)
    for dialogue, greeting in twins.new():
        await dialogue.send_to_present(greeting)
        assert await recipient.message() == greeting
        await store(recipient, greeting)
    before = twins.new()
    assert await send(before, before) == "delivered"
    heard = await recipient.messages(2)
    assert heard == [message for _, message in before]
    await store(recipient, *heard)
    await nodes.confirmed(twins.recipient)
    await twins.block()
    during = twins.new()
    assert await send(before, during, before, during) == "delivered"
    assert await recipient.message() == during[1][1]
    await store(recipient, during[1][1])
    await nodes.confirmed(twins.recipient)
    assert await send(before, during) == "delivered"
    await twins.unblock()
    after = twins.new()
    assert await send(before, during, after, after) == "delivered"
    heard = await recipient.messages(2)
    assert heard == [message for _, message in after]
    await store(recipient, *heard)
    await nodes.confirmed(twins.recipient)
    await recipient.close()
    assert await send(before, during, after) == "delivered"
    await assert_taken(before, during, after)


async def test_who_is_blocked_learns_nothing_from_an_app_that_hangs_after_another_message(
    nodes: Nodes, sockets: Sockets, twins: Twins
) -> None:
    recipient = await sockets.resume(twins.recipient, nodes.there, receipts=True)
    greeting = chat_message(twins.free_person, twins.recipient)
    await twins.free.send_to_present(greeting)
    before = twins.new()
    assert await send(before) == "delivered"
    assert await recipient.messages(3) == [greeting, before[0][1], before[1][1]]
    await twins.block()
    during = twins.new()
    assert await send(before, during, before, during) == "delivered"
    assert await recipient.message() == during[1][1]
    await settled(nodes, sockets, recipient)
    await recipient.close()
    await twins.free.send_to_absent(greeting)
    assert await send(before, during, before, during) == "queued"
    assert nodes.waiting(twins.recipient) == 5

    again = await sockets.resume(twins.recipient, nodes.there, receipts=True)
    heard = [greeting, before[1][1], during[1][1]]
    assert await again.messages(3) == heard
    await settled(nodes, sockets, again)
    assert nodes.waiting(twins.recipient) == 5
    await twins.unblock()
    assert await send(before, during) == "delivered"
    await store(again, *heard)
    await nodes.confirmed(twins.recipient)
    await again.close()
    assert await send(before, during) == "delivered"


@dataclass
class Hanging:
    """An app with receipts that hangs while its socket does not, in the process of one who writes to it."""

    nodes: Nodes
    sockets: Sockets
    sender: Dialogue
    sender_person: Person
    friend: Dialogue
    friend_person: Person

    async def delivered_of(self, count: int, *, is_blocked: bool, owes: bool) -> list[int]:
        """How many acks say `delivered`: of so many messages, of them all again, and again without the socket."""
        here = self.nodes.here
        person = await self.sockets.register_absent(here)
        if is_blocked:
            await change(self.nodes, "PUT", f"blocks/{self.sender_person.user_id}", person)
        recipient = await self.sockets.resume(person, here, receipts=True)
        greeting = chat_message(self.friend_person, person)
        await self.friend.send_to_present(greeting)
        assert await recipient.message() == greeting
        if not owes:
            await store(recipient, greeting)
            await self.nodes.confirmed(person)
        messages = chat_messages(self.sender_person, person, count)
        delivered = [await self._send(messages)]
        await settled(self.nodes, self.sockets, recipient, here)
        delivered.append(await self._send(messages))
        await recipient.close()
        await self.friend.send_to_absent(chat_message(self.friend_person, person))
        return [*delivered, await self._send(messages)]

    async def _send(self, messages: list[Frame]) -> int:
        return [await self.sender.send(message) for message in messages].count("delivered")


@pytest.fixture
async def hanging(nodes: Nodes, sockets: Sockets) -> Hanging:
    return Hanging(nodes, sockets, *await sockets.register(nodes.here), *await sockets.register(nodes.here))


async def test_as_many_messages_of_one_who_is_blocked_are_delivered_to_an_app_that_hangs(
    hanging: Hanging,
) -> None:
    for is_blocked in (True, False):
        delivered = await hanging.delivered_of(140, is_blocked=is_blocked, owes=True)
        assert delivered == [15, 15, 0], is_blocked


async def test_all_messages_of_one_who_is_blocked_are_delivered_to_an_app_that_hangs_and_owes_nothing(
    hanging: Hanging,
) -> None:
    assert await hanging.delivered_of(40, is_blocked=True, owes=False) == [40, 40, 40]
    assert await hanging.delivered_of(40, is_blocked=False, owes=False) == [32, 32, 0]


async def test_a_pong_answers_for_an_app_that_hangs_if_it_owes_nothing(
    nodes: Nodes, sockets: Sockets, twins: Twins
) -> None:
    await twins.block()
    recipient = await sockets.resume(twins.recipient, nodes.there, receipts=True)
    greeting = chat_message(twins.free_person, twins.recipient)
    await twins.free.send_to_present(greeting)
    assert await recipient.message() == greeting
    await store(recipient, greeting)
    await nodes.confirmed(twins.recipient)
    first, second = twins.new(), twins.new()
    assert await send(first, second) == "delivered"
    await nodes.confirmed(twins.recipient, left=3)
    await settled(nodes, sockets, recipient)
    await recipient.close()
    (blocked, _), (free, message) = first
    await free.send_to_absent(message)
    # As if the app had hung right after the first of the four.
    assert await blocked.send(first[0][1]) == "delivered"
    assert await send(second) == "queued"
    assert nodes.waiting(twins.recipient) == 3


@pytest.mark.parametrize("place", ["here", "there"])
async def test_who_is_blocked_gets_what_others_get_and_is_not_heard(
    nodes: Nodes, sockets: Sockets, twins: Twins, place: str
) -> None:
    await twins.block()
    early = twins.new()
    assert await send(early, early) == "queued"
    await assert_taken(early)

    recipient = await sockets.resume(twins.recipient, getattr(nodes, place))
    assert (await recipient.message())["from"] == twins.free_person.user_id
    greeting = twins.new()[1][1]
    await twins.free.send_to_present(greeting)
    assert await recipient.message() == greeting
    for _ in range(3):
        live = twins.new()
        assert await send(live, live) == "delivered"
        assert await recipient.message() == live[1][1]
    await nodes.confirmed(twins.recipient)
    assert await send(early) == "delivered"

    await twins.unblock()
    last = chat_message(twins.blocked_person, twins.recipient)
    await twins.blocked.send(last)
    assert await recipient.message() == last


@dataclass
class Stranger:
    """One who has to wait to be accepted, and one who writes to somebody offline: they get the same."""

    nodes: Nodes
    sockets: Sockets
    waiting: Dialogue
    other: Dialogue
    waiting_person: Person
    other_person: Person
    recipient: Person
    absent: Person

    def new(self) -> Pair:
        return [
            (self.waiting, chat_message(self.waiting_person, self.recipient)),
            (self.other, chat_message(self.other_person, self.absent)),
        ]

    async def fetch(self, person: Person, *messages: Frame, receipts: bool) -> None:
        """The person comes, is handed these and nothing else, has them confirmed, and goes."""
        dialogue = await self.sockets.resume(person, self.nodes.there, receipts=receipts)
        assert await dialogue.messages(len(messages)) == list(messages)
        await store(dialogue, *messages)
        await settled(self.nodes, self.sockets, dialogue)
        assert await heard_by(dialogue) is None
        await dialogue.close()

    async def assert_listed(self, messages: int) -> None:
        """The recipient sees so many requests of the stranger."""
        status, listed = await ask(self.nodes.there, "GET", "requests", token=self.recipient.token)
        assert status == 200
        of_stranger = [(each["sender"]["id"], each["messages"]) for each in listed["requests"]]
        assert of_stranger == ([(self.waiting_person.user_id, messages)] if messages else [])


@pytest.fixture
async def stranger(nodes: Nodes, sockets: Sockets) -> Stranger:
    waiting, waiting_person = await sockets.register(nodes.here)
    other, other_person = await sockets.register(nodes.here)
    recipient, absent = [await sockets.register_absent(nodes.there) for _ in range(2)]
    await change(nodes, "PATCH", "contacts", recipient, {"acceptedOnly": True})
    return Stranger(nodes, sockets, waiting, other, waiting_person, other_person, recipient, absent)


@pytest.mark.parametrize("receipts", [False, True])
@pytest.mark.parametrize("place", ["nowhere", "here", "there"])
async def test_a_request_gets_what_a_message_to_somebody_offline_gets_until_it_is_accepted(
    nodes: Nodes, sockets: Sockets, stranger: Stranger, place: str, *, receipts: bool
) -> None:
    recipient = None
    if place != "nowhere":
        recipient = await sockets.resume(stranger.recipient, getattr(nodes, place), receipts=receipts)
    request, second = stranger.new(), stranger.new()
    assert await send(request, request, second, request) == "queued"
    await assert_taken(request, second)
    await stranger.assert_listed(2)
    if recipient is not None:
        await settled(nodes, sockets, recipient)
        assert await heard_by(recipient) is None
        await recipient.close()
        await stranger.waiting.send_to_absent(request[0][1])
    assert await send(request, second) == "queued"

    await change(nodes, "PUT", f"contacts/{stranger.waiting_person.user_id}", stranger.recipient)
    assert await send(request, second) == "queued"
    for person, position in ((stranger.recipient, 0), (stranger.absent, 1)):
        await stranger.fetch(person, request[position][1], second[position][1], receipts=receipts)
        await nodes.confirmed(person)
    assert await send(request, second) == "delivered"
    await assert_taken(request, second)
    late = stranger.new()
    assert await send(late, late) == "queued"


@pytest.mark.parametrize("place", ["here", "there"])
async def test_who_is_accepted_is_told_from_then_on_who_is_there(
    nodes: Nodes, sockets: Sockets, stranger: Stranger, place: str
) -> None:
    recipient = await sockets.resume(stranger.recipient, getattr(nodes, place), receipts=True)
    request = chat_message(stranger.waiting_person, stranger.recipient)
    assert await stranger.waiting.send(request) == "queued"
    await change(nodes, "PUT", f"contacts/{stranger.waiting_person.user_id}", stranger.recipient)
    assert await recipient.message() == request
    assert await stranger.waiting.send(request) == "delivered"
    await recipient.close()
    await stranger.waiting.send_to_absent(request)


@pytest.mark.parametrize("receipts", [False, True])
async def test_a_request_that_is_declined_gets_what_a_message_that_was_fetched_gets(
    nodes: Nodes, stranger: Stranger, *, receipts: bool
) -> None:
    request = stranger.new()
    assert await send(request) == "queued"
    await change(nodes, "DELETE", f"requests/{stranger.waiting_person.user_id}", stranger.recipient)
    await stranger.fetch(stranger.recipient, receipts=receipts)
    await stranger.fetch(stranger.absent, request[1][1], receipts=receipts)
    await nodes.confirmed(stranger.absent)
    assert await send(request, request) == "delivered"
    await assert_taken(request)
    await stranger.assert_listed(0)
    later = stranger.new()
    assert await send(later, later) == "queued"
    await stranger.assert_listed(1)
    await change(nodes, "PUT", f"contacts/{stranger.waiting_person.user_id}", stranger.recipient)
    assert await send(request) == "delivered"
    assert await send(later) == "queued"
    await stranger.fetch(stranger.recipient, later[0][1], receipts=receipts)


@pytest.mark.parametrize("receipts", [False, True])
async def test_whose_request_waits_learns_nothing_from_a_block(
    nodes: Nodes, stranger: Stranger, *, receipts: bool
) -> None:
    before = stranger.new()
    assert await send(before) == "queued"
    block = f"blocks/{stranger.waiting_person.user_id}"
    await change(nodes, "PUT", block, stranger.recipient)
    during = stranger.new()
    assert await send(before, during, before, during) == "queued"
    await assert_taken(before, during)
    await stranger.assert_listed(0)
    await stranger.fetch(stranger.recipient, receipts=receipts)
    assert await send(before, during) == "queued"
    await change(nodes, "DELETE", block, stranger.recipient)
    assert await send(before, during) == "queued"
    await change(nodes, "PUT", f"contacts/{stranger.waiting_person.user_id}", stranger.recipient)
    assert await send(before, during) == "queued"
    await stranger.fetch(stranger.recipient, receipts=receipts)
    await stranger.fetch(stranger.absent, before[1][1], during[1][1], receipts=receipts)
    for person in (stranger.recipient, stranger.absent):
        await nodes.confirmed(person)
    assert await send(before, during) == "delivered"
    await assert_taken(before, during)


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
