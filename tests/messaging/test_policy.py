"""A policy of one's own on both edges, and the one that docs/policy.md shows, as it stands there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.services import set_limits, suspend_user
from construct_site.database import run_in_database_thread
from construct_site.env import REPOSITORY
from messaging.node import Node
from messaging.protocol import messages
from tests.accounts.policies import UNWANTED, Faulty, OneAnHour, Permissive, Strict, choose
from tests.messaging.clients import Client, login_request, register_request
from tests.messaging.conftest import Amounts
from tests.messaging.doubles import chat_message, turns
from tests.messaging.mailbox.conftest import make_recipient
from tests.rest import Api, register, registration

MakeClient = Callable[..., Awaitable[Client]]


@pytest.fixture(autouse=True)
def small_costs(amounts: Amounts) -> None:
    amounts(password_hash_memory_kib=64, password_hash_passes=1)


@pytest.fixture
async def make_client(node: Node) -> AsyncIterator[MakeClient]:
    made: list[Client] = []

    async def make(address: str = "192.0.2.7") -> Client:
        made.append(Client(address=address))
        return await made[-1].open()

    yield make
    for client in made:
        await client.end()


@pytest.fixture
async def client(make_client: MakeClient) -> Client:
    return await make_client()


Sends = Callable[..., Awaitable[list[str]]]


@pytest.fixture
async def sends(node: Node) -> Sends:
    """Sends so many messages to somebody who is not there: `ack`, or the code of a refusal, for each."""
    absent = await run_in_database_thread(make_recipient, "absent")

    async def send(
        client: Client, user: messages.RegisterSuccess, count: int, *, content: str = "AAAA"
    ) -> list[str]:
        sent = [chat_message(UUID(user.user_id), absent, content=content) for _ in range(count)]
        replies = [await client.request(message) for message in sent]
        return ["ack" if isinstance(reply, messages.Ack) else reply.code for reply in replies]

    return send


class TestOnBothEdges:
    async def test_a_policy_refuses_what_the_server_would_allow(
        self, sends: Sends, make_client: MakeClient, settings: Settings
    ) -> None:
        client = await make_client()
        alice, rest = await client.register("alice"), await register("bob")
        choose(settings, Strict)
        assert await client.error_of(chat_message(UUID(alice.user_id), UNWANTED)) == "FORBIDDEN"
        assert await sends(client, alice, 1, content="A" * 1004) == ["FORBIDDEN"]
        assert await sends(client, alice, 1) == ["ack"]
        assert await client.error_of(messages.SearchUsers(query="bob")) == "FORBIDDEN"
        assert await client.error_of(messages.GetPublicKey(user_id=rest.user_id)) == "FORBIDDEN"
        assert (await rest.get("users?query=alice")).refusal == (403, "FORBIDDEN")
        assert (await rest.get(f"users/{alice.user_id}/bundle")).refusal == (403, "FORBIDDEN")
        assert (await Api().post("register", registration("mallory"))).refusal == (403, "FORBIDDEN")
        stranger = await make_client(address="203.0.113.66")
        assert await stranger.error_of(register_request("mallory")) == "FORBIDDEN"
        assert await stranger.error_of(login_request("alice")) == "FORBIDDEN"
        assert await stranger.error_of(messages.Connect(session_token=alice.session_token)) == "FORBIDDEN"
        assert not await run_in_database_thread(User.objects.filter(username="mallory").exists)

    async def test_a_policy_that_refuses_the_first_session_leaves_no_account(
        self, make_client: MakeClient, settings: Settings
    ) -> None:
        choose(settings, Strict)
        stranger = await make_client(address="203.0.113.66")
        assert await stranger.error_of(register_request("alice")) == "FORBIDDEN"
        assert not await run_in_database_thread(User.objects.exclude(username="absent").exists)

    async def test_its_limits_hold_in_the_place_of_the_servers(
        self, sends: Sends, client: Client, settings: Settings
    ) -> None:
        alice = await client.register("alice")
        choose(settings, OneAnHour)
        assert await sends(client, alice, 2) == ["ack", "RATE_LIMIT_EXCEEDED"]
        rest = Api(alice.session_token)
        assert (await rest.get("users?query=alice")).status == 200
        assert await client.error_of(messages.SearchUsers(query="alice")) == "RATE_LIMIT_EXCEEDED"
        await register("bob")
        assert (await Api().post("register", registration("carol"))).refusal == (429, "RATE_LIMIT_EXCEEDED")

    async def test_a_policy_that_fails_refuses_and_the_socket_stays(
        self, sends: Sends, client: Client, settings: Settings
    ) -> None:
        alice = await client.register("alice")
        choose(settings, Faulty)
        assert await sends(client, alice, 3) == ["SERVER_ERROR"] * 3
        assert await client.error_of(messages.SearchUsers(query="alice")) == "SERVER_ERROR"
        assert (await Api().post("register", registration("bob"))).refusal == (500, "SERVER_ERROR")
        choose(settings, Strict)
        assert await sends(client, alice, 1) == ["ack"]

    async def test_who_derives_from_nothing_gives_up_the_default_rules(
        self, sends: Sends, client: Client, settings: Settings, amounts: Amounts
    ) -> None:
        amounts(registration="approval")
        alice = await client.register("alice")
        assert await sends(client, alice, 1) == ["ACCOUNT_PENDING"]
        choose(settings, Permissive)
        other = await client.error_of(chat_message(UUID(alice.user_id), uuid4()))
        assert other == "USER_NOT_FOUND", "judged by the mailbox, like blocks"
        amounts(registration="closed")
        bob = await register("bob")
        await run_in_database_thread(
            partial(suspend_user, UUID(bob.user_id), public_reason="", internal_reason="", ends_at=None)
        )
        assert (await bob.get("profile")).status == 200
        amounts(policy="accounts.policy.DefaultPolicy")
        assert (await bob.get("profile")).refusal == (403, "ACCOUNT_SUSPENDED")


class TestLimitsOfOneAccount:
    async def test_a_change_holds_for_a_live_socket_at_once(
        self, sends: Sends, client: Client, amounts: Amounts
    ) -> None:
        amounts(messages_per_hour=3)
        alice = await client.register("alice")
        assert await sends(client, alice, 2) == ["ack"] * 2
        for limit, outcomes in (
            (2, ["RATE_LIMIT_EXCEEDED"]),
            (5, ["ack"] * 2),
            (0, ["FORBIDDEN"]),
            (None, ["RATE_LIMIT_EXCEEDED"]),
        ):
            await run_in_database_thread(set_limits, UUID(alice.user_id), limit)
            await turns()
            assert await sends(client, alice, len(outcomes)) == outcomes, limit

    async def test_a_log_in_and_a_resume_bring_it(self, sends: Sends, make_client: MakeClient) -> None:
        alice = await (await make_client()).register("alice")
        await run_in_database_thread(set_limits, UUID(alice.user_id), 0)
        for request in (login_request("alice"), messages.Connect(session_token=alice.session_token)):
            client = await make_client()
            await client.request(request)
            assert await sends(client, alice, 1) == ["FORBIDDEN"]


class TestTheWorkedExample:
    @pytest.fixture(autouse=True)
    def careful_policy(self, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        """The file and the setting that the page names."""
        page = (REPOSITORY / "docs" / "policy.md").read_text()
        (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
        assert "A file\n`careful_policy.py`" in page
        (named,) = re.findall(r"`CONSTRUCT_POLICY=(\S+)`", page)
        (tmp_path / "careful_policy.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        choose(settings, named)

    async def test_who_is_new_sends_50_messages_an_hour(self, sends: Sends, client: Client) -> None:
        alice = await client.register("alice")
        assert await sends(client, alice, 51) == ["ack"] * 50 + ["RATE_LIMIT_EXCEEDED"]

    async def test_who_is_a_day_old_is_as_everybody(self, sends: Sends, make_client: MakeClient) -> None:
        alice = await (await make_client()).register("alice")
        a_day_ago = timezone.now() - timedelta(days=1)
        await run_in_database_thread(User.objects.filter(username="alice").update, created_at=a_day_ago)
        client = await make_client()
        await client.request(login_request("alice"))
        assert await sends(client, alice, 51) == ["ack"] * 51

    async def test_the_limit_of_one_account_and_the_default_refusals_stay(
        self, sends: Sends, client: Client
    ) -> None:
        alice = await client.register("alice")
        await run_in_database_thread(set_limits, UUID(alice.user_id), 2)
        await turns()
        assert await sends(client, alice, 3) == ["ack"] * 2 + ["RATE_LIMIT_EXCEEDED"]
        await run_in_database_thread(set_limits, UUID(alice.user_id), 0)
        await turns()
        assert await sends(client, alice, 1) == ["FORBIDDEN"]
