"""The client against a server that the test plays, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import ConnectionClosed

from construct_site.proof_of_work import Challenge
from messaging.client import ClientClosed, ConnectionLost, ConstructClient, RequestRefused, SessionEnded
from messaging.protocol.codec import Request
from messaging.protocol.messages import (
    ChatMessage,
    Connect,
    Error,
    FoundUser,
    GetPublicKey,
    KeyRotationSuccess,
    Login,
    Logout,
    LogoutSuccess,
    PublicKeyBundle,
    Register,
    RegisterSuccess,
    RotatePrekey,
    SearchResults,
    SearchUsers,
    SessionExpired,
)
from tests.messaging.client.scripted_server import (
    USER_ID,
    WAIT_S,
    Peer,
    ScriptedServer,
    ack,
    chat_message,
    connected,
    logged_in,
)

WORK = "challenge:162754"
"""The first that proves 16 bits."""


async def _log_in(client: ConstructClient, server: ScriptedServer, *, receipts: bool = True) -> Peer:
    peer = await server.accept()
    login = asyncio.create_task(client.login("bob", "password"))
    await peer.request()
    await peer.answer(logged_in(receipts=receipts))
    await login
    return peer


def work_required(request: Request, *, bits: int) -> Error:
    return Error(
        code="WORK_REQUIRED",
        message="This server asks for proof of work.",
        request_id=request.request_id,
        work=Challenge("challenge", bits, 2_000_000_000),
    )


async def _receive(client: ConstructClient) -> ChatMessage:
    async with asyncio.timeout(WAIT_S):
        return await client.receive()


@asynccontextmanager
async def _logged_in_client(
    server: ScriptedServer, *, waiting_max: int = 1024, unacked_max: int = 64
) -> AsyncIterator[tuple[ConstructClient, Peer]]:
    client = ConstructClient(server.url, chance=lambda: 0.0, waiting_max=waiting_max, unacked_max=unacked_max)
    async with client:
        yield client, await _log_in(client, server)


class TestRequests:
    async def test_registering_logs_in(self, server: ScriptedServer, client: ConstructClient) -> None:
        peer = await server.accept()
        registering = asyncio.create_task(client.register("bob", "password", "a2V5cw=="))
        request = await peer.request()
        assert request.payload == Register(
            username="bob", password="password", public_key="a2V5cw==", receipts=True
        )
        success = RegisterSuccess(
            user_id=USER_ID, username="bob", display_name="bob", session_token="t0k3n", expires=1
        )
        await peer.answer(success)
        assert await registering == success
        assert (client.user_id, client.session_token) == (USER_ID, "t0k3n")

    async def test_work_that_is_asked_for_is_brought(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        registering = asyncio.create_task(client.register("bob", "password", "a2V5cw=="))
        first = await peer.request()
        await peer.answer(work_required(first, bits=16))
        second = await peer.request()
        assert second.request_id != first.request_id
        assert second.payload == Register(
            username="bob", password="password", public_key="a2V5cw==", work=WORK, receipts=True
        )
        success = RegisterSuccess(
            user_id=USER_ID, username="bob", display_name="bob", session_token="t0k3n", expires=1
        )
        await peer.answer(success)
        assert await registering == success

    async def test_what_is_refused_again_with_its_work_is_told(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        registering = asyncio.create_task(client.register("bob", "password", "a2V5cw=="))
        for _ in range(2):
            await peer.answer(work_required(await peer.request(), bits=1))
        with pytest.raises(RequestRefused) as refused:
            await registering
        assert refused.value.code == "WORK_REQUIRED"

    async def test_more_work_than_the_application_allows_is_not_begun(self, server: ScriptedServer) -> None:
        async with ConstructClient(server.url, work_bits_max=15) as client:
            peer = await server.accept()
            registering = asyncio.create_task(client.register("bob", "password", "a2V5cw=="))
            await peer.answer(work_required(await peer.request(), bits=16))
            with pytest.raises(RequestRefused) as refused:
                await registering
            assert refused.value.challenge == Challenge("challenge", 16, 2_000_000_000)

    async def test_every_other_request_has_its_reply(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        user = FoundUser(id=USER_ID, username="bob", display_name="Bob", avatar_url=None, bio=None)
        bundle = PublicKeyBundle(
            user_id=USER_ID,
            username="bob",
            identity_public="a",
            signed_prekey_public="b",
            signature="c",
            verifying_key="d",
        )
        requests = asyncio.gather(
            client.search("bo"),
            client.fetch_bundle(USER_ID),
            client.rotate_prekey("dXA="),
            client.send(chat_message(1)),
            client.logout(),
        )
        seen = [(await peer.request()).payload for _ in range(5)]
        assert seen == [
            SearchUsers(query="bo"),
            GetPublicKey(user_id=USER_ID),
            RotatePrekey(user_id=USER_ID, update="dXA="),
            chat_message(1),
            Logout(session_token="t0k3n"),
        ]
        for reply in (
            SearchResults(users=[user]),
            bundle,
            KeyRotationSuccess(),
            ack(chat_message(1)),
            LogoutSuccess(),
        ):
            await peer.answer(reply)
        assert [*await requests] == [[user], bundle, None, ack(chat_message(1)), None]
        assert client.session_token is None

    async def test_messages_between_the_replies_are_no_replies(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        sending = asyncio.create_task(client.send(chat_message(1)))
        sent = await peer.chat_message()
        await peer.answer(chat_message(2))
        await peer.acknowledge(sent)
        assert (await sending).message_id == sent.id
        assert await _receive(client) == chat_message(2)

    async def test_a_refusal_names_code_and_text(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        login = asyncio.create_task(client.login("bob", "wrong"))
        request = await peer.request()
        assert request.payload == Login(username="bob", password="wrong", receipts=True)
        await peer.answer(Error(code="SERVER_BUSY", message="Later.", request_id=request.request_id))
        with pytest.raises(RequestRefused) as refusal:
            await login
        assert (refusal.value.code, refusal.value.text) == ("SERVER_BUSY", "Later.")
        assert refusal.value.may_retry
        assert not RequestRefused("FORBIDDEN", "").may_retry
        assert not RequestRefused("A_CODE_OF_THE_FUTURE", "").may_retry

    async def test_an_error_that_names_no_request_answers_none(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        sending = asyncio.create_task(client.send(chat_message(1)))
        sent = await peer.chat_message()
        await peer.answer(Error(code="RATE_LIMIT_EXCEEDED", message="Too slow."))
        await peer.acknowledge(sent)
        assert (await sending).message_id == sent.id

    async def test_a_refused_message_is_not_sent_again(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        sending = asyncio.create_task(client.send(chat_message(1)))
        sent = await peer.chat_message()
        await peer.answer(Error(code="MAILBOX_FULL", message="Full.", request_id=sent.id))
        with pytest.raises(RequestRefused):
            await sending
        peer.cut()
        peer = await server.accept()
        await peer.let_resume()
        searching = asyncio.create_task(client.search("x"))
        assert (await peer.request()).payload == SearchUsers(query="x")
        await peer.answer(SearchResults(users=[]))
        assert await searching == []

    async def test_a_cancelled_request_takes_nobody_elses_reply(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        first = asyncio.create_task(client.send(chat_message(1)))
        second = asyncio.create_task(client.send(chat_message(2)))
        sent = [await peer.chat_message() for _ in range(2)]
        first.cancel()
        for message in sent:
            await peer.acknowledge(message)
        assert (await second).message_id == chat_message(2).id

    async def test_a_server_that_does_not_answer_is_given_up(self, server: ScriptedServer) -> None:
        async with ConstructClient(server.url, chance=lambda: 0.0, request_s=0.05) as client:
            peer = await server.accept()
            searching = asyncio.create_task(client.search("x"))
            await peer.request()
            with pytest.raises(ConnectionLost):
                await searching
            await server.accept()

    async def test_a_reply_that_nobody_asked_for_ends_the_connection(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        searching = asyncio.create_task(client.search("x"))
        await peer.request()
        await peer.answer(LogoutSuccess())
        with pytest.raises(ConnectionLost):
            await searching
        await server.accept()

    async def test_sends_beyond_the_bound_wait(self, server: ScriptedServer) -> None:
        async with _logged_in_client(server, unacked_max=1) as (client, peer):
            sends = [asyncio.create_task(client.send(chat_message(number))) for number in (1, 2)]
            assert await peer.chat_message() == chat_message(1)
            # Overtakes the second send only if that one waits.
            searching = asyncio.create_task(client.search("x"))
            assert (await peer.request()).payload == SearchUsers(query="x")
            await peer.acknowledge(chat_message(1))
            await peer.answer(SearchResults(users=[]))
            await searching
            assert await peer.chat_message() == chat_message(2)
            await peer.acknowledge(chat_message(2))
            await asyncio.gather(*sends)

    async def test_the_client_pings_every_25_seconds(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        await server.accept()
        assert client._connection is not None
        assert client._connection._socket.ping_interval == 25


class TestReconnecting:
    @pytest.mark.parametrize("code", [1000, 1011, 1012, 4400, 4408, None])
    async def test_the_session_is_resumed_after_any_end_but_1001(
        self, server: ScriptedServer, client: ConstructClient, code: int | None
    ) -> None:
        peer = await _log_in(client, server)
        if code is None:
            peer.cut()
        else:
            await peer.close(code)
        peer = await server.accept()
        await peer.let_resume()
        await peer.answer(chat_message(1))
        assert await _receive(client) == chat_message(1)
        assert client._attempts == 0

    async def test_after_1001_the_client_is_over(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        await peer.close(1001)
        with pytest.raises(ConnectionLost):
            await _receive(client)
        with pytest.raises(ConnectionLost):
            await client.send(chat_message(1))
        assert server.is_unvisited()

    async def test_unacknowledged_messages_are_sent_again_in_order_before_newer_ones(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        sends = [asyncio.create_task(client.send(chat_message(number))) for number in (1, 2, 3)]
        sent = [await peer.chat_message() for _ in range(3)]
        await peer.acknowledge(sent[0])
        await sends[0]
        peer.cut()
        peer = await server.accept()
        await peer.request()
        # Sent while the client has a connection but is not logged in on it yet.
        sends.append(asyncio.create_task(client.send(chat_message(4))))
        await asyncio.sleep(0)
        await peer.answer(connected())
        again = [await peer.chat_message() for _ in range(3)]
        assert again == [chat_message(2), chat_message(3), chat_message(4)]
        for message in again:
            await peer.acknowledge(message)
        assert [reply.message_id for reply in await asyncio.gather(*sends)] == [
            chat_message(number).id for number in (1, 2, 3, 4)
        ]

    async def test_a_cancelled_send_is_not_sent_again(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        first = asyncio.create_task(client.send(chat_message(1)))
        second = asyncio.create_task(client.send(chat_message(2)))
        for _ in range(2):
            await peer.chat_message()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        peer.cut()
        peer = await server.accept()
        await peer.let_resume()
        assert await peer.chat_message() == chat_message(2)
        await peer.acknowledge(chat_message(2))
        await second

    async def test_other_requests_on_their_way_are_not_repeated(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        searching = asyncio.create_task(client.search("x"))
        await peer.request()
        peer.cut()
        with pytest.raises(ConnectionLost):
            await searching

    async def test_a_request_made_while_disconnected_waits_for_the_connection(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        peer.cut()
        peer = await server.accept()
        searching = asyncio.create_task(client.search("x"))
        await peer.let_resume()
        assert (await peer.request()).payload == SearchUsers(query="x")
        await peer.answer(SearchResults(users=[]))
        assert await searching == []

    async def test_a_server_that_is_busy_is_asked_again(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        peer.cut()
        peer = await server.accept()
        request = await peer.request()
        await peer.answer(Error(code="TOO_MANY_CONNECTIONS", message="", request_id=request.request_id))
        peer = await server.accept()
        await peer.let_resume()
        await peer.answer(chat_message(1))
        assert await _receive(client) == chat_message(1)

    async def test_a_suspended_account_ends_the_client(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        peer.cut()
        peer = await server.accept()
        request = await peer.request()
        await peer.answer(Error(code="ACCOUNT_SUSPENDED", message="Spam.", request_id=request.request_id))
        with pytest.raises(RequestRefused, match=r"ACCOUNT_SUSPENDED.*Spam"):
            await _receive(client)
        with pytest.raises(ConnectionClosed):
            await peer.request()

    async def test_a_client_that_is_not_logged_in_connects_again_all_the_same(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        await peer.close(1012)
        peer = await server.accept()
        login = asyncio.create_task(client.login("bob", "password"))
        await peer.request()
        await peer.answer(logged_in())
        await login

    async def test_delays_grow_with_attempts_and_a_login_sets_them_back(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        for attempt in range(3):
            assert client._attempts == attempt
            peer.cut()
            peer = await server.accept()
        login = asyncio.create_task(client.login("bob", "password"))
        await peer.request()
        await peer.answer(logged_in())
        await login
        assert client._attempts == 0

    async def test_the_first_connection_fails_at_once_when_nobody_listens(self) -> None:
        with pytest.raises(ConnectionLost):
            await ConstructClient("ws://127.0.0.1:1").connect()


class TestSessions:
    async def test_a_session_that_ends_ends_the_client(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        sending = asyncio.create_task(client.send(chat_message(1)))
        searching = asyncio.create_task(client.search("x"))
        for _ in range(2):
            await peer.request()
        await peer.answer(SessionExpired())
        for request in (sending, searching, _receive(client), client.search("y")):
            with pytest.raises(SessionEnded):
                await request
        assert server.is_unvisited()

    async def test_a_token_that_expired_meanwhile_ends_the_client(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        peer.cut()
        peer = await server.accept()
        await peer.request()
        await peer.answer(SessionExpired())
        with pytest.raises(SessionEnded):
            await _receive(client)
        with pytest.raises(ConnectionClosed):
            await peer.request()

    async def test_after_trying_an_expired_token_one_can_log_in(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        resuming = asyncio.create_task(client.resume("0ld"))
        assert (await peer.request()).payload == Connect(session_token="0ld", receipts=True)
        await peer.answer(SessionExpired())
        with pytest.raises(SessionEnded):
            await resuming
        login = asyncio.create_task(client.login("bob", "password"))
        await peer.request()
        await peer.answer(logged_in())
        assert await login == logged_in()

    async def test_a_session_is_taken_up_with_its_token(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await server.accept()
        resuming = asyncio.create_task(client.resume("t0k3n"))
        await peer.let_resume()
        assert await resuming == connected()
        assert (client.user_id, client.session_token) == (USER_ID, "t0k3n")


class TestReceipts:
    async def test_a_message_is_confirmed_after_it_is_stored_and_not_before(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        await peer.answer(chat_message(1))
        message = await _receive(client)
        searching = asyncio.create_task(client.search("x"))
        assert (await peer.request()).payload == SearchUsers(query="x")
        client.stored(message)
        assert await peer.received() == [message.id]
        searching.cancel()

    async def test_confirmations_share_frames_of_at_most_256(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        messages = [chat_message(number) for number in range(300)]
        for message in messages:
            client.stored(message)
        assert await peer.received() == [message.id for message in messages[:256]]
        assert await peer.received() == [message.id for message in messages[256:]]

    async def test_nothing_is_confirmed_unless_the_server_agreed(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server, receipts=False)
        await peer.answer(chat_message(1))
        client.stored(await _receive(client))
        searching = asyncio.create_task(client.search("x"))
        assert (await peer.request()).payload == SearchUsers(query="x")
        searching.cancel()

    async def test_asking_for_the_next_message_confirms_the_one_before(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        messages = client.messages()
        for number in (1, 2):
            await peer.answer(chat_message(number))
        assert await anext(messages) == chat_message(1)
        assert await anext(messages) == chat_message(2)
        assert await peer.received() == [chat_message(1).id]

    async def test_a_copy_is_not_received_twice_and_confirmed_again_if_stored(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        await peer.answer(chat_message(1))
        client.stored(await _receive(client))
        peer.cut()
        peer = await server.accept()
        await peer.let_resume()
        await peer.answer(chat_message(1))
        assert await peer.received() == [chat_message(1).id]
        await peer.answer(chat_message(2))
        assert await _receive(client) == chat_message(2)

    async def test_a_message_stored_while_disconnected_is_confirmed_when_it_comes_again(
        self, server: ScriptedServer, client: ConstructClient
    ) -> None:
        peer = await _log_in(client, server)
        await peer.answer(chat_message(1))
        message = await _receive(client)
        peer.cut()
        peer = await server.accept()
        client.stored(message)
        await peer.let_resume()
        await peer.answer(message)
        assert await peer.received() == [message.id]

    async def test_reading_pauses_while_the_application_does_not_take_messages(
        self, server: ScriptedServer
    ) -> None:
        async with _logged_in_client(server, waiting_max=1) as (client, peer):
            sending = asyncio.create_task(client.send(chat_message(9)))
            await peer.chat_message()
            for number in (1, 2):
                await peer.answer(chat_message(number))
            await peer.acknowledge(chat_message(9))
            done, _ = await asyncio.wait([sending], timeout=0.05)
            assert not done
            await _receive(client)
            assert (await sending).message_id == chat_message(9).id


class TestClosing:
    async def test_confirmations_go_out_before_the_close(self, server: ScriptedServer) -> None:
        async with _logged_in_client(server) as (client, peer):
            await peer.answer(chat_message(1))
            client.stored(await _receive(client))
        assert await peer.received() == [chat_message(1).id]
        with pytest.raises(ConnectionClosed) as closed:
            await peer.request()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000

    async def test_whoever_waits_is_told(self, server: ScriptedServer) -> None:
        async with _logged_in_client(server) as (client, peer):
            sending = asyncio.create_task(client.send(chat_message(1)))
            receiving = asyncio.create_task(client.receive())
            await peer.chat_message()
        for task in (sending, receiving):
            with pytest.raises(ClientClosed):
                await task

    async def test_a_closed_client_refuses_everything(self, server: ScriptedServer) -> None:
        async with _logged_in_client(server) as (client, _):
            pass
        for request in (client.send(chat_message(1)), client.search("x"), client.receive()):
            with pytest.raises(ClientClosed):
                await request
        assert [message async for message in client.messages()] == []

    async def test_a_client_that_reconnects_can_be_closed(self, server: ScriptedServer) -> None:
        async with _logged_in_client(server) as (_, peer):
            peer.cut()
            peer = await server.accept()
            await peer.request()
        with pytest.raises(ConnectionClosed):
            await peer.request()

    async def test_a_client_with_a_full_inbox_can_be_closed(self, server: ScriptedServer) -> None:
        async with asyncio.timeout(WAIT_S):
            async with _logged_in_client(server, waiting_max=1) as (client, peer):
                for number in (1, 2, 3):
                    await peer.answer(chat_message(number))
                await _receive(client)

    async def test_a_client_that_was_never_connected_says_so(self) -> None:
        client = ConstructClient("ws://127.0.0.1:1")
        with pytest.raises(ClientClosed, match="not connected"):
            await client.send(chat_message(1))
        with pytest.raises(ClientClosed, match="not connected"):
            await client.search("x")
        await client.close()
