"""The socket's edge, through the ASGI application: frames in, replies, errors and closes out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from accounts import services as accounts
from accounts.models import Session
from accounts.services import revoke_sessions, suspend_user
from construct_site.database import run_in_database_thread
from keys import services as keys_services
from messaging.connection import Connection
from messaging.mailbox.letters import Outcome
from messaging.node import Node
from messaging.protocol import messages
from messaging.protocol.messages import ClientMessage, Error
from tests.messaging.clients import Client, Closed, login_request, register_request
from tests.messaging.conftest import Amounts
from tests.messaging.doubles import PATIENCE_S, chat_message, turns, until

MakeClient = Callable[..., Awaitable[Client]]
NOBODY = str(uuid4())
EXPIRED = messages.SessionExpired()


@pytest.fixture(autouse=True)
def small_costs(amounts: Amounts) -> None:
    amounts(password_hash_memory_kib=64, password_hash_passes=1)


@pytest.fixture
async def make_client(node: Node) -> AsyncIterator[MakeClient]:
    """Opens sockets, and closes them before the node ends."""
    made: list[Client] = []

    async def make(*, has_pongs: bool = False) -> Client:
        made.append(Client(has_pongs=has_pongs))
        return await made[-1].open()

    yield make
    for client in made:
        await client.end()


@pytest.fixture
async def client(make_client: MakeClient) -> Client:
    return await make_client()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds up what waits for it in another thread; open at the end in any case."""
    made = threading.Event()
    yield made
    made.set()


def to(recipient: messages.RegisterSuccess, sender: messages.RegisterSuccess) -> messages.ChatMessage:
    return chat_message(UUID(sender.user_id), UUID(recipient.user_id))


async def befriended(
    make_client: MakeClient,
) -> tuple[Client, messages.RegisterSuccess, Client, messages.RegisterSuccess]:
    """Alice and Bob, both on line."""
    alice, bob = await make_client(), await make_client()
    return alice, await alice.register("alice"), bob, await bob.register("bob")


class TestFrames:
    async def test_a_text_frame_is_refused_and_the_socket_stays(self, client: Client) -> None:
        await client.send_text('{"type": "login"}')
        reply = await client.receive()
        assert isinstance(reply, Error)
        assert (reply.code, "binary" in reply.message) == ("INVALID_FORMAT", True)
        assert (await client.register("alice")).username == "alice"

    async def test_a_frame_that_is_too_large_is_refused_and_the_socket_stays(self, client: Client) -> None:
        await client.send_bytes(bytes(128 * 1024 + 1))
        reply = await client.receive()
        assert isinstance(reply, Error)
        assert reply.code == "MESSAGE_TOO_LARGE"
        assert (await client.register("alice")).username == "alice"

    async def test_an_error_names_the_request(self, client: Client) -> None:
        reply = await client.request(messages.GetPublicKey(user_id=NOBODY), request_id="seven")
        assert (reply.code, reply.request_id) == ("AUTH_REQUIRED", "seven")
        message = chat_message(uuid4(), uuid4())
        reply = await client.request(message)
        assert (reply.code, reply.request_id) == ("AUTH_REQUIRED", message.id)

    async def test_too_many_bad_frames_end_the_socket_after_their_answers(self, client: Client) -> None:
        for _ in range(20):
            await client.send_bytes(b"\xc1")
        replies = [await client.receive() for _ in range(21)]
        assert {reply.code for reply in replies[:20] if isinstance(reply, Error)} == {"INVALID_FORMAT"}
        assert replies[20] == Closed(4400)

    async def test_other_refusals_do_not_count_towards_it(self, client: Client) -> None:
        for _ in range(25):
            await client.send_bytes(bytes(128 * 1024 + 1))
            assert isinstance(await client.receive(), Error)
        assert (await client.register("alice")).username == "alice"

    async def test_a_flood_ends_the_socket(self, make_client: MakeClient, amounts: Amounts) -> None:
        amounts(flood_frames_per_s=2)
        client = await make_client()
        for _ in range(30):
            await client.send(messages.SearchUsers(query="al"))
        replies = [await client.receive()]
        while not isinstance(replies[-1], Closed):
            replies.append(await client.receive())
        *_, reason, end = replies
        assert isinstance(reason, Error)
        assert (reason.code, end) == ("RATE_LIMIT_EXCEEDED", Closed(4429))

    async def test_after_its_close_a_socket_is_not_listened_to(self, client: Client) -> None:
        for _ in range(22):
            await client.send_bytes(b"\xc1")
        while not isinstance(await client.receive(), Closed):
            pass
        await client.send(register_request("alice"))
        assert await client.is_silent()


class TestAuthentication:
    @pytest.mark.parametrize(
        "request_",
        [
            messages.SearchUsers(query="al"),
            messages.GetPublicKey(user_id=NOBODY),
            messages.RotatePrekey(user_id=NOBODY, update=""),
            chat_message(uuid4(), uuid4()),
            messages.Received(message_ids=[NOBODY]),
        ],
        ids=lambda request: type(request).__name__,
    )
    async def test_everything_else_needs_it(self, client: Client, request_: ClientMessage) -> None:
        assert await client.error_of(request_) == "AUTH_REQUIRED"

    async def test_who_does_not_in_time_is_closed(self, make_client: MakeClient, amounts: Amounts) -> None:
        amounts(authenticate_s=0.05)
        client = await make_client()
        reply = await client.receive()
        assert isinstance(reply, Error)
        assert (reply.code, await client.receive()) == ("AUTH_REQUIRED", Closed(4401))

    async def test_who_did_is_not(self, make_client: MakeClient, amounts: Amounts) -> None:
        amounts(authenticate_s=1.0)
        client = await make_client()
        await client.register("alice")
        await asyncio.sleep(1.1)
        assert isinstance(await client.request(messages.SearchUsers(query="al")), messages.SearchResults)

    async def test_the_time_begins_again_after_a_logout(
        self, make_client: MakeClient, amounts: Amounts
    ) -> None:
        amounts(authenticate_s=1.0)
        client = await make_client()
        token = (await client.register("alice")).session_token
        await client.request(messages.Logout(session_token=token))
        reply = await client.receive()
        assert isinstance(reply, Error)
        assert (reply.code, await client.receive()) == ("AUTH_REQUIRED", Closed(4401))

    async def test_a_failed_login_leaves_the_socket_who_it_was(self, client: Client, node: Node) -> None:
        alice = await client.register("alice")
        assert await client.error_of(login_request("alice", "wrong password")) == "INVALID_CREDENTIALS"
        assert await client.error_of(login_request("nobody")) == "INVALID_CREDENTIALS"
        assert await client.request(messages.Connect(session_token="construct_" + "A" * 43)) == EXPIRED
        assert await client.error_of(messages.Connect(session_token="no token")) == "INVALID_TOKEN"
        assert isinstance(await client.request(messages.SearchUsers(query="al")), messages.SearchResults)
        assert node.hub.is_here(UUID(alice.user_id))

    @pytest.mark.parametrize(("search", "queries"), [("exact", {"ALICE"}), ("off", set())])
    async def test_what_people_are_found_by_is_a_setting(
        self, search: str, queries: set[str], client: Client, amounts: Amounts
    ) -> None:
        amounts(search=search)
        await client.register("alice")
        for query in ("ALICE", "ali"):
            results = await client.request(messages.SearchUsers(query=query))
            assert isinstance(results, messages.SearchResults)
            assert len(results.users) == (query in queries)

    async def test_a_session_goes_on_with_its_token(self, make_client: MakeClient) -> None:
        first, second = await make_client(), await make_client()
        alice = await first.register("Alice")
        await first.end()
        success = await second.request(messages.Connect(session_token=alice.session_token))
        assert isinstance(success, messages.ConnectSuccess)
        assert (success.user_id, success.username, success.display_name) == (alice.user_id, "Alice", "Alice")
        assert success.expires >= alice.expires

    async def test_a_socket_may_become_somebody_else(self, make_client: MakeClient, node: Node) -> None:
        alice, as_alice, bob, as_bob = await befriended(make_client)
        success = await bob.request(login_request("alice"))
        assert isinstance(success, messages.LoginSuccess)
        assert success.user_id == as_alice.user_id
        assert not node.hub.is_here(UUID(as_bob.user_id))
        assert (await alice.request(to(as_bob, as_alice))).status == "queued"
        assert await bob.error_of(to(as_alice, as_bob)) == "FORBIDDEN"
        assert await bob.is_silent()

    async def test_too_many_connections_of_a_user_end_the_newest(
        self, make_client: MakeClient, amounts: Amounts, monkeypatch: pytest.MonkeyPatch, node: Node
    ) -> None:
        monkeypatch.setattr("messaging.hub._PROBE_S", 0.5)
        amounts(connections_per_user=1)
        first, second = await make_client(has_pongs=True), await make_client()
        alice = await first.register("alice")
        await second.send(login_request("alice"))
        await asyncio.sleep(0)
        receiving = asyncio.ensure_future(first.receive())
        await until(lambda: bool(first.pings))
        await first.pong(first.pings[-1])
        reply = await second.receive()
        assert isinstance(reply, Error)
        assert (reply.code, await second.receive()) == ("TOO_MANY_CONNECTIONS", Closed(4409))
        assert node.hub.connections == 1
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        sessions = await run_in_database_thread(_live_sessions, UUID(alice.user_id))
        assert sessions == 1

    async def test_too_many_connections_of_an_address_are_refused(
        self, make_client: MakeClient, amounts: Amounts
    ) -> None:
        amounts(connections_per_address=2)
        first, _ = await make_client(), await make_client()
        third = await make_client()
        reply = await third.receive()
        assert isinstance(reply, Error)
        assert (reply.code, await third.receive()) == ("TOO_MANY_CONNECTIONS", Closed(4409))
        await first.end()
        assert (await (await make_client()).register("alice")).username == "alice"


class TestLogout:
    async def test_with_its_own_token_the_socket_stays_open_as_nobody(
        self, client: Client, node: Node
    ) -> None:
        alice = await client.register("alice")
        assert (
            await client.request(messages.Logout(session_token=alice.session_token))
            == messages.LogoutSuccess()
        )
        assert not node.hub.is_here(UUID(alice.user_id))
        assert await client.error_of(messages.SearchUsers(query="al")) == "AUTH_REQUIRED"
        assert await client.request(messages.Connect(session_token=alice.session_token)) == EXPIRED
        assert isinstance(await client.request(login_request("alice")), messages.LoginSuccess)

    async def test_with_another_of_its_users_tokens_the_other_socket_ends(
        self, make_client: MakeClient
    ) -> None:
        phone, laptop = await make_client(), await make_client()
        of_phone = await phone.register("alice")
        assert isinstance(await laptop.request(login_request("alice")), messages.LoginSuccess)
        reply = await laptop.request(messages.Logout(session_token=of_phone.session_token))
        assert reply == messages.LogoutSuccess()
        assert [await phone.receive(), await phone.receive()] == [EXPIRED, Closed(4401)]
        assert isinstance(await laptop.request(messages.SearchUsers(query="al")), messages.SearchResults)

    async def test_the_other_socket_of_the_same_session_ends(self, make_client: MakeClient) -> None:
        phone, again = await make_client(), await make_client()
        alice = await phone.register("alice")
        await again.request(messages.Connect(session_token=alice.session_token))
        reply = await phone.request(messages.Logout(session_token=alice.session_token))
        assert reply == messages.LogoutSuccess()
        assert [await again.receive(), await again.receive()] == [EXPIRED, Closed(4401)]
        assert await phone.error_of(messages.SearchUsers(query="al")) == "AUTH_REQUIRED"

    @pytest.mark.parametrize("token", ["construct_" + "A" * 43, "", "nonsense"])
    async def test_an_unknown_token_changes_nothing(self, client: Client, token: str) -> None:
        assert await client.request(messages.Logout(session_token=token)) == messages.LogoutSuccess()
        await client.register("alice")
        assert await client.request(messages.Logout(session_token=token)) == messages.LogoutSuccess()
        assert isinstance(await client.request(messages.SearchUsers(query="al")), messages.SearchResults)

    async def test_a_session_revoked_elsewhere_ends_its_socket(self, client: Client, node: Node) -> None:
        alice = await client.register("alice")
        await run_in_database_thread(revoke_sessions, UUID(alice.user_id))
        assert [await client.receive(), await client.receive()] == [EXPIRED, Closed(4401)]
        assert node.hub.connections == 0


class TestPipelining:
    async def test_replies_keep_the_order_of_the_requests(
        self, client: Client, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alice = await client.register("alice")
        fetch, searched = keys_services.fetch_bundle, threading.Event()

        def slow(user_id: UUID, *, asked_by: UUID) -> keys_services.ServedBundle:
            gate.wait(PATIENCE_S)
            return fetch(user_id, asked_by=asked_by)

        def noted(query: str) -> list[accounts.FoundUser]:
            searched.set()
            return []

        monkeypatch.setattr(keys_services, "fetch_bundle", slow)
        monkeypatch.setattr(accounts, "search_users", noted)
        await client.send(messages.GetPublicKey(user_id=alice.user_id))
        await client.send(messages.SearchUsers(query="al"))
        await client.send_bytes(b"\xc1")
        # The second request does not wait for the first; its reply does.
        assert await asyncio.to_thread(searched.wait, PATIENCE_S)
        assert await client.is_silent()
        gate.set()
        replies = [await client.receive() for _ in range(3)]
        assert [type(reply) for reply in replies] == [messages.PublicKeyBundle, messages.SearchResults, Error]

    async def test_a_change_of_identity_waits_for_earlier_requests_and_holds_up_later_ones(
        self, make_client: MakeClient, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = await make_client()
        await other.register("bob")
        client = await make_client()
        alice = await client.register("alice")
        fetch = keys_services.fetch_bundle

        def slow(user_id: UUID, *, asked_by: UUID) -> keys_services.ServedBundle:
            gate.wait(PATIENCE_S)
            return fetch(user_id, asked_by=asked_by)

        monkeypatch.setattr(keys_services, "fetch_bundle", slow)
        await client.send(messages.GetPublicKey(user_id=alice.user_id))
        await client.send(login_request("bob"))
        await client.send(chat_message(UUID(alice.user_id), uuid4()))
        assert await client.is_silent()
        gate.set()
        replies = [await client.receive() for _ in range(3)]
        assert [type(reply) for reply in replies] == [messages.PublicKeyBundle, messages.LoginSuccess, Error]
        # Judged as Bob, since it came after his login.
        assert replies[2].code == "FORBIDDEN"  # type: ignore[union-attr]

    async def test_beyond_the_places_the_next_frame_waits(
        self,
        make_client: MakeClient,
        amounts: Amounts,
        gate: threading.Event,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        amounts(pipelined_requests=2)
        begun: list[str] = []

        def slow(query: str) -> list[accounts.FoundUser]:
            begun.append(query)
            gate.wait(PATIENCE_S)
            return []

        monkeypatch.setattr(accounts, "search_users", slow)
        client = await make_client()
        await client.register("alice")
        for number in range(3):
            await client.send(messages.SearchUsers(query=f"query {number}"))
        await until(lambda: len(begun) == 2)
        assert await client.is_silent()
        assert sorted(begun) == ["query 0", "query 1"]
        gate.set()
        for _ in range(3):
            assert isinstance(await client.receive(), messages.SearchResults)

    async def test_receipts_are_not_answered_and_hold_up_nobody(self, client: Client) -> None:
        await client.register("alice", receipts=True)
        await client.send(messages.Received(message_ids=[NOBODY]))
        assert isinstance(await client.request(messages.SearchUsers(query="al")), messages.SearchResults)


class TestTrouble:
    async def test_a_store_that_does_not_answer_is_said_once_and_the_outcome_is_open(
        self,
        make_client: MakeClient,
        amounts: Amounts,
        gate: threading.Event,
        node: Node,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        _, as_alice, bob, as_bob = await befriended(make_client)
        put = node._mailbox._commits.put

        async def put_later(*batch: Any) -> list[Outcome]:
            await asyncio.to_thread(gate.wait, PATIENCE_S)
            return await put(*batch)

        monkeypatch.setattr(node._mailbox._commits, "put", put_later)
        amounts(request_s=0.6)
        alice = await make_client()
        await alice.request(login_request("alice"))
        message = to(as_bob, as_alice)
        reply = await alice.request(message)
        assert (reply.code, reply.request_id) == ("QUEUE_FAILED", message.id)
        gate.set()
        # It was stored all the same, and is delivered all the same.
        assert await bob.receive() == message
        assert await alice.is_silent()
        assert (await alice.request(message)).status == "delivered"

    @pytest.mark.parametrize(
        ("request_", "code"),
        [
            (messages.GetPublicKey(user_id=NOBODY), "SERVER_ERROR"),
            (messages.SearchUsers(query="al"), "SEARCH_FAILED"),
        ],
        ids=["getPublicKey", "searchUsers"],
    )
    async def test_what_takes_too_long_is_answered_once(
        self,
        make_client: MakeClient,
        amounts: Amounts,
        gate: threading.Event,
        request_: ClientMessage,
        code: str,
    ) -> None:
        await (await make_client()).register("alice")
        amounts(request_s=0.6)
        client = await make_client()
        await client.request(login_request("alice"))
        busy = [asyncio.ensure_future(run_in_database_thread(gate.wait, PATIENCE_S)) for _ in range(4)]
        await turns()
        assert await client.error_of(request_) == code
        gate.set()
        await asyncio.gather(*busy)
        assert await client.is_silent()
        assert isinstance(await client.request(messages.SearchUsers(query="al")), messages.SearchResults)

    async def test_an_unexpected_fault_is_a_table_error_and_its_words_stay_here(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(user_id: UUID, *, asked_by: UUID) -> None:
            raise RuntimeError(f"private words about {user_id}")

        await client.register("alice")
        monkeypatch.setattr(keys_services, "fetch_bundle", fail)
        reply = await client.request(messages.GetPublicKey(user_id=NOBODY), request_id="seven")
        assert (reply.code, reply.request_id) == ("SERVER_ERROR", "seven")
        assert "private" not in reply.message
        assert "request failed" in caplog.text
        assert "RuntimeError in" in caplog.text
        assert "private words" not in caplog.text
        assert NOBODY not in caplog.text
        assert isinstance(await client.request(messages.SearchUsers(query="al")), messages.SearchResults)

    async def test_a_socket_that_is_gone_before_its_login_ends_leaves_nothing_behind(
        self, make_client: MakeClient, node: Node, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await make_client()
        alice = await first.register("alice")
        await first.end()
        second = await make_client()
        begun, resume, entered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        enter = node.hub.attach

        async def held(connection: object) -> None:
            begun.set()
            await resume.wait()
            await enter(connection)  # type: ignore[arg-type]
            entered.set()

        monkeypatch.setattr(node.hub, "attach", held)
        await second.send(messages.Connect(session_token=alice.session_token))
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        second.app.cancel()
        await asyncio.gather(second.app, return_exceptions=True)
        resume.set()
        await asyncio.wait_for(entered.wait(), PATIENCE_S)
        await until(lambda: not node.hub.connections)


@pytest.fixture
def before_routing(monkeypatch: pytest.MonkeyPatch, node: Node) -> Callable[[Callable[[], object]], None]:
    """Has something be done while a socket logs in: after its session was found, before events reach it."""
    attach = node.hub.attach

    def do(change: Callable[[], object]) -> None:
        async def attach_after(connection: Connection) -> None:
            await run_in_database_thread(change)
            await attach(connection)

        monkeypatch.setattr(node.hub, "attach", attach_after)

    return do


class TestChangesDuringALogin:
    """What was committed before events reach the socket, it learns before its answer."""

    async def test_a_suspension(
        self, make_client: MakeClient, node: Node, before_routing: Callable[[Callable[[], object]], None]
    ) -> None:
        first, client = await make_client(), await make_client()
        alice = await first.register("alice")
        user_id = UUID(alice.user_id)
        before_routing(lambda: suspend_user(user_id, public_reason="Spam.", internal_reason="", ends_at=None))
        for request in (messages.Connect(session_token=alice.session_token), login_request("alice")):
            reply = await client.request(request)
            assert isinstance(reply, Error)
            assert (reply.code, reply.message) == (
                "ACCOUNT_SUSPENDED",
                "This account is suspended. Reason: Spam.",
            )
            await run_in_database_thread(accounts.lift_suspension, user_id)
        assert not node.hub.is_here(user_id)
        # The login's own session, whose token nobody learnt, has ended.
        assert await run_in_database_thread(_live_sessions, user_id) == 1
        assert await client.error_of(messages.SearchUsers(query="al")) == "AUTH_REQUIRED"

    async def test_the_end_of_the_session(
        self, make_client: MakeClient, before_routing: Callable[[Callable[[], object]], None]
    ) -> None:
        first, client = await make_client(), await make_client()
        alice = await first.register("alice")
        before_routing(lambda: revoke_sessions(UUID(alice.user_id)))
        assert await client.request(messages.Connect(session_token=alice.session_token)) == EXPIRED
        assert await client.error_of(login_request("alice")) == "AUTH_REQUIRED"
        assert await client.error_of(messages.SearchUsers(query="al")) == "AUTH_REQUIRED"

    async def test_another_limit(
        self, make_client: MakeClient, before_routing: Callable[[Callable[[], object]], None]
    ) -> None:
        first, client = await make_client(), await make_client()
        alice = await first.register("alice")
        await first.end()
        user_id = UUID(alice.user_id)
        before_routing(lambda: accounts.set_limits(user_id, 0))
        success = await client.request(messages.Connect(session_token=alice.session_token))
        assert isinstance(success, messages.ConnectSuccess)
        reply = await client.request(chat_message(user_id, user_id))
        assert isinstance(reply, Error)
        assert reply.message == "This account may not send messages."


class TestDelivery:
    async def test_the_success_comes_before_what_waits_and_all_of_it_in_order(
        self, make_client: MakeClient
    ) -> None:
        alice, as_alice, bob, as_bob = await befriended(make_client)
        await bob.end()
        sent = [to(as_bob, as_alice) for _ in range(5)]
        for message in sent:
            assert (await alice.request(message)).status == "queued"
        again = await make_client()
        assert isinstance(
            await again.request(messages.Connect(session_token=as_bob.session_token)), messages.ConnectSuccess
        )
        assert [await again.receive() for _ in range(5)] == sent

    async def test_a_live_recipient_is_handed_the_frame_as_it_was_sent(self, make_client: MakeClient) -> None:
        alice, as_alice, bob, as_bob = await befriended(make_client)
        message = to(as_bob, as_alice)
        ack = await alice.request(message)
        assert (ack.message_id, ack.status) == (message.id, "delivered")
        assert await bob.receive() == message

    async def test_receipts_confirm(self, make_client: MakeClient, node: Node) -> None:
        alice, bob = await make_client(), await make_client()
        as_alice = await alice.register("alice")
        as_bob = await bob.register("bob", receipts=True)
        assert as_bob.receipts
        message = to(as_bob, as_alice)
        await alice.request(message)
        assert await bob.receive() == message
        await bob.send(messages.Received(message_ids=[message.id]))
        await _emptied(node, as_bob)

    async def test_pongs_confirm_on_a_server_that_passes_them_on(
        self, make_client: MakeClient, node: Node
    ) -> None:
        alice, bob = await make_client(), await make_client(has_pongs=True)
        as_alice, as_bob = await alice.register("alice"), await bob.register("bob")
        message = to(as_bob, as_alice)
        await alice.request(message)
        assert await bob.receive() == message
        receiving = asyncio.ensure_future(bob.receive())
        await until(lambda: bool(bob.pings))
        await bob.pong(bob.pings[-1])
        await _emptied(node, as_bob)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)

    async def test_elsewhere_age_confirms(
        self, make_client: MakeClient, amounts: Amounts, node: Node
    ) -> None:
        amounts(confirm_without_pong_s=0.05)
        alice, as_alice, bob, as_bob = await befriended(make_client)
        message = to(as_bob, as_alice)
        await alice.request(message)
        assert await bob.receive() == message
        await _emptied(node, as_bob)

    async def test_what_was_not_confirmed_comes_again(self, make_client: MakeClient) -> None:
        alice, as_alice, bob, as_bob = await befriended(make_client)
        message = to(as_bob, as_alice)
        await alice.request(message)
        assert await bob.receive() == message
        await bob.end()
        again = await make_client()
        await again.request(messages.Connect(session_token=as_bob.session_token))
        assert await again.receive() == message

    async def test_after_a_logout_nothing_is_handed(self, make_client: MakeClient) -> None:
        alice, as_alice, bob, as_bob = await befriended(make_client)
        await bob.request(messages.Logout(session_token=as_bob.session_token))
        assert (await alice.request(to(as_bob, as_alice))).status == "queued"
        assert await bob.is_silent()

    async def test_a_socket_that_ended_leaves_all_routing(self, make_client: MakeClient, node: Node) -> None:
        client = await make_client()
        await client.register("alice")
        assert node.hub.connections == 1
        await client.end()
        assert node.hub.connections == 0


def _live_sessions(user_id: UUID) -> int:
    return Session.objects.filter(user_id=user_id, revoked_at=None).count()


async def _emptied(node: Node, recipient: messages.RegisterSuccess) -> None:
    async def nothing_waits() -> bool:
        messages_waiting, *_ = await node._mailbox.count(UUID(recipient.user_id))
        return messages_waiting == 0

    await until(nothing_waits)


class TestRegistrationModes:
    async def test_an_invite_code_travels_in_the_registration(self, client: Client, amounts: Amounts) -> None:
        amounts(registration="invite")
        code = (await run_in_database_thread(accounts.make_invite, 1, timedelta(days=1))).code
        assert await client.error_of(register_request("alice")) == "INVITE_REQUIRED"
        request = msgspec.structs.replace(register_request("alice"), invite_code=code)
        assert isinstance(await client.request(request), messages.RegisterSuccess)

    async def test_who_waits_for_approval_sends_once_the_event_came(
        self, client: Client, amounts: Amounts
    ) -> None:
        amounts(registration="approval")
        alice = await client.register("alice")
        assert await client.error_of(to(alice, alice)) == "ACCOUNT_PENDING"
        await run_in_database_thread(accounts.approve_account, UUID(alice.user_id))
        await turns()
        came = {type(await client.request(to(alice, alice))), type(await client.receive())}
        assert came == {messages.Ack, messages.ChatMessage}
