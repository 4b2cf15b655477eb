"""Contacts, blocks, message requests and reports over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.messaging.conftest import amounts as amounts
from tests.rest import Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]


def names_in(people: list[dict[str, Any]]) -> list[str]:
    return [person["username"] for person in people]


async def test_contacts_are_accepted_listed_and_withdrawn() -> None:
    alice, bob = await register("alice"), await register("bob")
    assert (await alice.get("contacts")).body == {"acceptedOnly": False, "contacts": []}
    assert (await alice.patch("contacts", {"acceptedOnly": True})).body == {
        "acceptedOnly": True,
        "contacts": [],
    }
    assert (await alice.put(f"contacts/{bob.user_id}")).status == 204
    answer = await alice.get("contacts")
    assert (answer.body["acceptedOnly"], names_in(answer.body["contacts"])) == (True, ["bob"])
    assert (await alice.delete(f"contacts/{bob.user_id}")).status == 204
    assert (await alice.delete(f"contacts/{bob.user_id}")).status == 204
    assert (await alice.get("contacts")).body == {"acceptedOnly": True, "contacts": []}
    assert (await bob.get("contacts")).body == {"acceptedOnly": False, "contacts": []}


async def test_people_are_blocked_and_unblocked_and_do_not_see_it() -> None:
    alice, bob = await register("alice"), await register("bob")
    before = [(await bob.get(path)).body for path in (f"users/{alice.user_id}/bundle", "users?query=alice")]
    assert (await alice.put(f"blocks/{bob.user_id}")).status == 204
    assert (await alice.put(f"blocks/{bob.user_id}")).status == 204
    assert names_in((await alice.get("blocks")).body["blocked"]) == ["bob"]
    after = [(await bob.get(path)).body for path in (f"users/{alice.user_id}/bundle", "users?query=alice")]
    assert after == before
    assert (await bob.get("blocks")).body == {"blocked": []}
    assert (await alice.delete(f"blocks/{bob.user_id}")).status == 204
    assert (await alice.get("blocks")).body == {"blocked": []}


@pytest.mark.parametrize("kind", ["contacts", "blocks"])
async def test_nobody_oneself_and_nonsense_are_refused(kind: str) -> None:
    alice = await register("alice")
    assert (await alice.put(f"{kind}/{uuid4()}")).refusal == (404, "USER_NOT_FOUND")
    assert (await alice.put(f"{kind}/{alice.user_id}")).refusal == (422, "INVALID_USER_ID")
    for method in (alice.put, alice.delete):
        assert (await method(f"{kind}/somebody")).refusal == (422, "INVALID_USER_ID")


@pytest.mark.parametrize("body", [{}, {"acceptedOnly": "yes"}, {"acceptedOnly": True, "more": 1}, []])
async def test_a_body_that_is_not_understood_changes_nothing(body: object) -> None:
    alice = await register("alice")
    assert (await alice.patch("contacts", body)).status in (400, 422)
    assert (await alice.get("contacts")).body["acceptedOnly"] is False


async def test_no_requests_wait_where_everybody_may_write() -> None:
    alice, bob = await register("alice"), await register("bob")
    assert (await alice.get("requests")).body == {"requests": []}
    assert (await alice.delete(f"requests/{bob.user_id}")).body == {"dropped": 0}
    assert (await alice.delete("requests")).body == {"dropped": 0}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "contacts"),
        ("PATCH", "contacts"),
        ("GET", "blocks"),
        ("GET", "requests"),
        ("DELETE", "requests"),
    ]
    + [(method, f"{kind}/{uuid4()}") for kind in ("contacts", "blocks") for method in ("PUT", "DELETE")]
    + [("DELETE", f"requests/{uuid4()}")],
)
async def test_they_are_for_who_is_logged_in(method: str, path: str) -> None:
    assert (await Api().call(method, path)).refusal == (401, "AUTH_REQUIRED")


async def test_requests_about_contacts_are_limited(amounts: Any) -> None:
    amounts(contact_requests_per_hour=2)
    alice = await register("alice")
    assert [(await alice.get("blocks")).status for _ in range(3)] == [200, 200, 429]
    answer = await alice.put(f"blocks/{uuid4()}")
    assert answer.refusal == (429, "RATE_LIMIT_EXCEEDED")
    assert int(answer.headers["Retry-After"]) > 0
