"""Logging in and out over HTTP, and the list of sessions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from accounts.models import Session
from construct_site.database import run_in_database_thread
from construct_site.events import Event, SessionsEnded
from tests.rest import PASSWORD, Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]


async def test_a_login_opens_a_session_that_authorises() -> None:
    alice = await register("Alice", displayName="Alice L.")
    answer = await Api().post("login", {"username": "aLICE", "password": PASSWORD})
    assert answer.status == 200
    assert answer.body.keys() == {"userId", "username", "displayName", "sessionToken", "expires"}
    assert (answer.body["userId"], answer.body["username"]) == (alice.user_id, "Alice")
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await Api(answer.body["sessionToken"]).get("profile")).status == 200


@pytest.mark.parametrize("username", ["alice", "nobody", "", "x" * 1000, "a\x00b"])
async def test_a_wrong_password_and_an_unknown_name_are_told_alike(username: str) -> None:
    await register("alice")
    answer = await Api().post("login", {"username": username, "password": "wrong horse battery"})
    assert answer.refusal == (401, "INVALID_CREDENTIALS")
    assert answer.headers["Www-Authenticate"] == "Bearer"
    assert answer.body["message"] == "Unknown user or wrong password."


async def test_failed_logins_are_limited_and_told_when_to_come_back() -> None:
    await register("alice")
    wrong = {"username": "alice", "password": "wrong horse battery"}
    answers = [await Api().post("login", wrong) for _ in range(6)]
    assert [each.refusal for each in answers[:5]] == [(401, "INVALID_CREDENTIALS")] * 5
    assert answers[5].refusal == (429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(answers[5].headers["Retry-After"]) <= 30


async def test_a_logout_ends_the_session_and_its_sockets(heard: asyncio.Queue[Event]) -> None:
    alice = await register("alice")
    other = await alice.log_in("alice")
    (current,) = [each["id"] for each in (await alice.get("sessions")).body["sessions"] if each["isCurrent"]]
    assert (await alice.post("logout")).status == 204
    assert heard.get_nowait() == SessionsEnded(UUID(alice.user_id), (UUID(current),))
    assert (await alice.get("profile")).refusal == (401, "AUTH_REQUIRED")
    assert (await other.get("profile")).status == 200


async def test_the_list_tells_each_session_and_marks_the_current_one() -> None:
    phone = await register("alice")
    laptop = await phone.log_in("alice", user_agent="Construct/2.1 laptop")
    answer = await laptop.get("sessions")
    assert answer.status == 200
    newest, oldest = answer.body["sessions"]
    assert newest.keys() == {
        "id",
        "label",
        "address",
        "created",
        "lastUsed",
        "expires",
        "isCurrent",
    }
    assert (newest["label"], newest["address"]) == ("Construct/2.1 laptop", "127.0.0.1")
    assert (newest["isCurrent"], oldest["isCurrent"]) == (True, False)
    assert newest["created"] <= newest["expires"]
    assert newest["lastUsed"] % 3600 == 0


async def test_addresses_are_not_kept_where_the_setting_says_so(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, session_addresses=False)
    alice = await register("alice")
    assert [each["address"] for each in (await alice.get("sessions")).body["sessions"]] == [None]
    sealed = await run_in_database_thread(Session.objects.get)
    assert sealed.address_sealed is None


async def test_an_address_is_encrypted_at_rest_and_gone_with_the_key(settings: Settings) -> None:
    alice = await register("alice")
    session = await run_in_database_thread(Session.objects.get)
    assert session.address_sealed is not None
    assert b"127.0.0.1" not in bytes(session.address_sealed)
    other = await alice.log_in("alice")
    settings.SECRET_KEY = "another " * 8
    addresses = {
        each["isCurrent"]: each["address"] for each in (await other.get("sessions")).body["sessions"]
    }
    assert addresses == {True: "127.0.0.1", False: None}, "used again, it is known again"


async def test_one_session_is_ended(heard: asyncio.Queue[Event]) -> None:
    alice = await register("alice")
    other = await alice.log_in("alice")
    (lost,) = [each["id"] for each in (await alice.get("sessions")).body["sessions"] if not each["isCurrent"]]
    assert (await alice.delete(f"sessions/{lost}")).status == 204
    assert heard.get_nowait() == SessionsEnded(UUID(alice.user_id), (UUID(lost),))
    assert (await other.get("profile")).refusal == (401, "AUTH_REQUIRED")
    assert (await alice.delete(f"sessions/{lost}")).refusal == (404, "NOT_FOUND")


async def test_nobody_ends_the_session_of_another() -> None:
    alice, mallory = await register("alice"), await register("mallory")
    (session,) = (await alice.get("sessions")).body["sessions"]
    foreign = await mallory.delete(f"sessions/{session['id']}")
    assert foreign.refusal == (404, "NOT_FOUND")
    assert foreign.body == (await mallory.delete(f"sessions/{uuid4()}")).body, "as if there were none"
    assert (await alice.get("profile")).status == 200


async def test_all_other_sessions_are_ended(heard: asyncio.Queue[Event]) -> None:
    alice, bob = await register("alice"), await register("bob")
    others = [await alice.log_in("alice") for _ in range(2)]
    answer = await alice.delete("sessions")
    assert (answer.status, answer.body) == (200, {"revoked": 2})
    event = heard.get_nowait()
    assert isinstance(event, SessionsEnded)
    assert event.session_ids is not None
    assert (event.user_id, len(event.session_ids)) == (UUID(alice.user_id), 2)
    assert [(await each.get("profile")).status for each in (alice, bob, *others)] == [200, 200, 401, 401]
    assert (await alice.delete("sessions")).body == {"revoked": 0}
