"""Password, profile, search and deletion over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import FormerName, Session, User
from accounts.services import make_reset_code, require_password_reset
from construct_site.database import run_in_database_thread
from construct_site.events import Event, SessionsEnded
from keys.bundle import encode_bundle
from keys.models import PrekeyBundle, RetiredIdentity, RetiredPrekey
from messaging.mailbox.letters import Caps
from messaging.mailbox.store import get_store
from messaging.models import Contact, ContactPolicy, MailboxMessage
from tests.keys.owners import KeyOwner
from tests.messaging.mailbox.conftest import make_letter
from tests.rest import PASSWORD, Api, register, registration

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
NEW_PASSWORD = "a brand new passphrase"
BAD_PROFILES: list[tuple[dict[str, object], tuple[int, str], str | None]] = [
    ({"displayName": " "}, (422, "INVALID_DISPLAY_NAME"), None),
    ({"displayName": "a\u202eb"}, (422, "INVALID_DISPLAY_NAME"), None),
    ({"displayName": 7}, (422, "VALIDATION_FAILED"), "displayName"),
    ({"bio": "x" * 501}, (422, "VALIDATION_FAILED"), "bio"),
    ({"bio": "a\x07"}, (422, "VALIDATION_FAILED"), "bio"),
    ({"bio": None}, (422, "VALIDATION_FAILED"), "bio"),
    ({"avatarUrl": "http://pictures.example/a.png"}, (422, "VALIDATION_FAILED"), "avatarUrl"),
    ({"avatarUrl": "javascript:alert(1)"}, (422, "VALIDATION_FAILED"), "avatarUrl"),
    ({"avatarUrl": "https://e.example/\0"}, (422, "VALIDATION_FAILED"), "avatarUrl"),
    ({"avatarUrl": "https://e.example/\u202e"}, (422, "VALIDATION_FAILED"), "avatarUrl"),
    ({"avatarUrl": "https://e.example/" + "x" * 500}, (422, "VALIDATION_FAILED"), "avatarUrl"),
    ({"discoverable": "yes"}, (422, "VALIDATION_FAILED"), "discoverable"),
    ({"discoverable": 1}, (422, "VALIDATION_FAILED"), "discoverable"),
    ({"username": "bob"}, (422, "VALIDATION_FAILED"), "username"),
    ({"isStaff": True}, (422, "VALIDATION_FAILED"), "isStaff"),
    ({"display_name": "Alice"}, (422, "VALIDATION_FAILED"), "display_name"),
]


class TestPassword:
    async def test_a_change_ends_the_other_sessions_and_keeps_this_one(
        self, heard: asyncio.Queue[Event]
    ) -> None:
        alice = await register("alice")
        other = await alice.log_in("alice")
        answer = await alice.put("password", {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD})
        assert (answer.status, answer.body) == (200, {"revoked": 1})
        event = heard.get_nowait()
        assert isinstance(event, SessionsEnded)
        assert (event.user_id, len(event.session_ids or ())) == (UUID(alice.user_id), 1)
        assert (await alice.get("profile")).status == 200
        assert (await other.get("profile")).refusal == (401, "AUTH_REQUIRED")
        old = await Api().post("login", {"username": "alice", "password": PASSWORD})
        new = await Api().post("login", {"username": "alice", "password": NEW_PASSWORD})
        assert (old.status, new.status) == (401, 200)

    @pytest.mark.parametrize(
        ("current", "new", "refusal"),
        [
            ("wrong horse battery", NEW_PASSWORD, (401, "INVALID_CREDENTIALS")),
            (PASSWORD, "short", (422, "WEAK_PASSWORD")),
            (PASSWORD, "password1", (422, "WEAK_PASSWORD")),
            (PASSWORD, "Alice-the-first", (422, "WEAK_PASSWORD")),
        ],
    )
    async def test_a_refused_change_changes_nothing(
        self, current: str, new: str, refusal: tuple[int, str]
    ) -> None:
        alice = await register("alice-the-first")
        other = await alice.log_in("alice-the-first")
        answer = await alice.put("password", {"currentPassword": current, "newPassword": new})
        assert answer.refusal == refusal
        assert (await other.get("profile")).status == 200
        await alice.log_in("alice-the-first")

    async def test_guesses_count_as_failed_logins(self) -> None:
        alice = await register("alice")
        guess = {"currentPassword": "wrong horse battery", "newPassword": NEW_PASSWORD}
        refusals = [(await alice.put("password", guess)).refusal for _ in range(6)]
        assert refusals == [(401, "INVALID_CREDENTIALS")] * 5 + [(429, "RATE_LIMIT_EXCEEDED")]


class TestReset:
    async def code_for(self, api: Api) -> str:
        return (await run_in_database_thread(make_reset_code, UUID(api.user_id))).code

    async def test_a_code_sets_another_password_once_and_ends_all_sessions(
        self, heard: asyncio.Queue[Event]
    ) -> None:
        alice = await register("alice")
        body = {"code": await self.code_for(alice), "newPassword": NEW_PASSWORD}
        answer = await Api().post("password/reset", body)
        assert (answer.status, answer.body) == (204, None)
        assert answer.headers["Cache-Control"] == "no-store"
        assert heard.get_nowait() == SessionsEnded(UUID(alice.user_id))
        assert (await alice.get("profile")).refusal == (401, "AUTH_REQUIRED")
        logins = [
            await Api().post("login", {"username": "alice", "password": password})
            for password in (PASSWORD, NEW_PASSWORD)
        ]
        assert [each.status for each in logins] == [401, 200]
        again = await Api().post("password/reset", body)
        assert again.refusal == (401, "INVALID_CREDENTIALS")
        assert again.body["message"] == "This reset code is unknown, used, replaced or expired."

    @pytest.mark.parametrize(
        ("changes", "refusal"),
        [
            ({"code": "construct_reset_AAAAAAAAAAAAAAAAAAAAAA"}, (401, "INVALID_CREDENTIALS")),
            ({"code": ""}, (401, "INVALID_CREDENTIALS")),
            ({"newPassword": "short"}, (422, "WEAK_PASSWORD")),
            ({"newPassword": "aLiCe-tHe-FiRsT"}, (422, "WEAK_PASSWORD")),
            ({"code": 7}, (422, "VALIDATION_FAILED")),
            ({"newPassword": None}, (422, "VALIDATION_FAILED")),
            ({"username": "alice"}, (422, "VALIDATION_FAILED")),
        ],
    )
    async def test_a_refused_reset_changes_nothing_and_leaves_the_code(
        self, changes: dict[str, object], refusal: tuple[int, str]
    ) -> None:
        alice = await register("alice-the-first")
        body: dict[str, object] = {"code": await self.code_for(alice), "newPassword": NEW_PASSWORD}
        assert (await Api().post("password/reset", body | changes)).refusal == refusal
        assert (await alice.get("profile")).status == 200
        await alice.log_in("alice-the-first")
        assert (await Api().post("password/reset", body)).status == 204

    async def test_a_token_neither_helps_nor_hinders(self) -> None:
        alice, bob = await register("alice"), await register("bob")
        body = {"code": await self.code_for(alice), "newPassword": NEW_PASSWORD}
        assert (await Api("construct_nonsense").post("password/reset", body)).status == 204
        assert (await bob.get("profile")).status == 200

    async def test_guesses_are_limited_and_told_when_to_come_back(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, failed_logins_per_address=3)
        alice = await register("alice")
        code = await self.code_for(alice)
        answers = [
            await Api().post("password/reset", {"code": each, "newPassword": NEW_PASSWORD})
            for each in ("a", "b", "c", code)
        ]
        assert [each.status for each in answers] == [401, 401, 401, 429]
        assert answers[3].refusal == (429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 30
        # Who was here with a good session has an allowance of their own.
        await alice.log_in("alice")

    async def test_a_login_is_refused_until_the_required_reset(self) -> None:
        alice = await register("alice")
        await run_in_database_thread(require_password_reset, UUID(alice.user_id))
        assert (await alice.get("profile")).refusal == (401, "AUTH_REQUIRED")
        login = {"username": "alice", "password": PASSWORD}
        assert (await Api().post("login", login)).refusal == (403, "PASSWORD_RESET_REQUIRED")
        wrong = {**login, "password": "wrong horse battery"}
        assert (await Api().post("login", wrong)).refusal == (401, "INVALID_CREDENTIALS")
        body = {"code": await self.code_for(alice), "newPassword": NEW_PASSWORD}
        assert (await Api().post("password/reset", body)).status == 204
        assert (await Api().post("login", {**login, "password": NEW_PASSWORD})).status == 200


class TestProfile:
    async def test_a_fresh_profile(self) -> None:
        alice = await register("Alice")
        answer = await alice.get("profile")
        created = answer.body.pop("created")
        assert isinstance(created, int)
        assert answer.body == {
            "userId": alice.user_id,
            "username": "Alice",
            "displayName": "Alice",
            "bio": "",
            "avatarUrl": "",
            "discoverable": True,
        }

    async def test_what_is_given_changes_and_the_rest_stays(self) -> None:
        alice = await register("alice")
        changes = {"displayName": " Alice L. ", "bio": "Down\nthe hole", "discoverable": False}
        answer = await alice.patch("profile", changes)
        assert answer.status == 200
        again = (await alice.patch("profile", {"avatarUrl": "https://pictures.example/a.png"})).body
        assert again == {
            **answer.body,
            "displayName": "Alice L.",
            "bio": "Down\nthe hole",
            "discoverable": False,
            "avatarUrl": "https://pictures.example/a.png",
        }
        assert (await alice.get("profile")).body == again
        assert (await alice.patch("profile", {})).body == again
        assert (await alice.patch("profile", {"avatarUrl": "", "bio": ""})).body["avatarUrl"] == ""

    async def test_one_bad_field_changes_nothing(self) -> None:
        alice = await register("alice")
        before = (await alice.get("profile")).body
        for changes, refusal, field in BAD_PROFILES:
            answer = await alice.patch("profile", {"bio": "fine", "discoverable": False, **changes})
            assert answer.refusal == refusal, changes
            assert list(answer.body.get("fields", {})) == ([field] if field else [])
            assert (await alice.get("profile")).body == before


class TestSearch:
    async def test_people_are_found_as_on_the_socket(self) -> None:
        alice = await register("alice", displayName="Alice L.")
        await register("alicia")
        hidden = await register("alison")
        await hidden.patch("profile", {"discoverable": False})
        answer = await alice.get("users?query=ali")
        assert [each["username"] for each in answer.body["users"]] == ["alice", "alicia"]
        assert answer.body["users"][0] == {
            "id": alice.user_id,
            "username": "alice",
            "displayName": "Alice L.",
            "avatarUrl": None,
            "bio": None,
        }

    @pytest.mark.parametrize(
        ("query", "refusal"),
        [
            ("", (422, "VALIDATION_FAILED")),
            ("?q=ali", (422, "VALIDATION_FAILED")),
            ("?query=ali&page=2", (422, "VALIDATION_FAILED")),
            ("?query=" + "x" * 65, (400, "INVALID_FORMAT")),
        ],
    )
    async def test_bad_queries_are_refused(self, query: str, refusal: tuple[int, str]) -> None:
        alice = await register("alice")
        assert (await alice.get("users" + query)).refusal == refusal

    @pytest.mark.parametrize(
        ("search", "query", "usernames"),
        [
            ("exact", "ALICE", ["alice"]),
            ("exact", "ali", []),
            ("exact", "Liddell", []),
            ("off", "alice", []),
        ],
    )
    async def test_what_people_are_found_by_is_a_setting_that_the_server_tells(
        self, search: str, query: str, usernames: list[str], settings: Settings
    ) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, search=search)
        alice = await register("alice", displayName="Liddell")
        assert (await alice.get("server")).body["search"] == search
        found = (await alice.get(f"users?query={query}")).body["users"]
        assert [each["username"] for each in found] == usernames

    async def test_searches_are_limited_with_those_of_the_socket(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, searches_per_minute=2)
        alice = await register("alice")
        answers = [await alice.get("users?query=ali") for _ in range(3)]
        assert [each.status for each in answers] == [200, 200, 429]
        assert answers[2].refusal == (429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 60

    @pytest.mark.parametrize("method", ["HEAD", "head", "get"])
    async def test_a_search_for_its_head_alone_counts_as_one(self, method: str, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, searches_per_minute=2)
        alice = await register("alice")
        asked = [await alice.call(method, "users?query=ali") for _ in range(2)]
        assert [each.status for each in asked] == [200, 200]
        assert (await alice.get("users?query=ali")).refusal == (429, "RATE_LIMIT_EXCEEDED")
        assert (await alice.call(method, "users?query=ali")).status == 429


def _rows_of(api: Api) -> dict[str, int]:
    """How many rows are there of an account, by what they hold."""
    user_id = UUID(api.user_id)
    return {
        "the account": User.objects.filter(pk=user_id).count(),
        "sessions": Session.objects.filter(user=user_id).count(),
        "bundles": PrekeyBundle.objects.filter(user=user_id).count(),
        "retired prekeys": RetiredPrekey.objects.filter(bundle=user_id).count(),
        "retired identities": RetiredIdentity.objects.filter(bundle=user_id).count(),
        "messages": MailboxMessage.objects.filter(recipient=user_id).count(),
        "who may write": ContactPolicy.objects.filter(user=user_id).count(),
        "blocks and contacts": Contact.objects.filter(owner=user_id).count(),
        "those of others": Contact.objects.filter(peer=user_id).count(),
    }


class TestDeletion:
    async def test_an_account_goes_with_everything_and_its_sockets(self, heard: asyncio.Queue[Event]) -> None:
        alice, bob = await register("Alice"), await register("bob")
        letters = [make_letter(UUID(alice.user_id))]
        await run_in_database_thread(get_store().put, letters, Caps(10, 10**6, 1), timezone.now())
        for one, other in ((alice, bob), (bob, alice)):
            for kind in ("contacts", "blocks"):
                assert (await one.put(f"{kind}/{other.user_id}")).status == 204
        replacement = {"password": PASSWORD, "publicKey": encode_bundle(KeyOwner().bundle())}
        assert (await alice.put("bundle", replacement)).status == 200
        await alice.log_in("alice")
        while not heard.empty():
            heard.get_nowait()
        before = await run_in_database_thread(_rows_of, alice)
        assert all(before.values()), before
        assert (await alice.post("account/deletion", {"password": PASSWORD})).status == 204
        assert heard.get_nowait() == SessionsEnded(UUID(alice.user_id))
        assert (await alice.get("profile")).refusal == (401, "AUTH_REQUIRED")
        assert await run_in_database_thread(_rows_of, alice) == dict.fromkeys(before, 0)
        assert (await bob.get("blocks")).body["blocked"] == []

    async def test_a_wrong_password_deletes_nothing(self) -> None:
        alice = await register("alice")
        answer = await alice.post("account/deletion", {"password": "wrong horse battery"})
        assert answer.refusal == (401, "INVALID_CREDENTIALS")
        assert (await alice.get("profile")).status == 200

    async def test_its_name_rests_and_is_free_again(self, settings: Settings) -> None:
        alice = await register("Alice")
        await alice.post("account/deletion", {"password": PASSWORD})
        assert (await Api().post("register", registration("aLICE"))).refusal == (409, "USERNAME_TAKEN")
        former = await run_in_database_thread(FormerName.objects.get)
        assert len(former.digest) == 16
        settings.CONSTRUCT = replace(settings.CONSTRUCT, name_rest_s=0)
        bob = await register("bob")
        await bob.post("account/deletion", {"password": PASSWORD})
        await register("bob")
