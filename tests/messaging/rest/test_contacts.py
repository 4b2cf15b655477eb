"""Contacts, blocks and message requests over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import User
from construct_site.database import run_in_database_thread
from messaging import contacts
from messaging.mailbox.store import get_store
from messaging.models import Contact
from tests.messaging.conftest import amounts as amounts
from tests.messaging.mailbox.conftest import make_recipient
from tests.messaging.test_contacts import CAPS, NOW, letter, store
from tests.rest import PASSWORD, Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]


def names_in(people: list[dict[str, Any]]) -> list[str]:
    return [person["username"] for person in people]


async def test_contacts_are_accepted_listed_and_withdrawn() -> None:
    alice, bob = await register("alice"), await register("bob")
    assert (await alice.get("contacts")).body == {"acceptedOnly": False, "contacts": [], "next": None}
    assert (await alice.patch("contacts", {"acceptedOnly": True})).body == {
        "acceptedOnly": True,
        "contacts": [],
        "next": None,
    }
    assert (await alice.put(f"contacts/{bob.user_id}")).status == 204
    answer = await alice.get("contacts")
    assert (answer.body["acceptedOnly"], names_in(answer.body["contacts"])) == (True, ["bob"])
    assert (await alice.delete(f"contacts/{bob.user_id}")).status == 204
    assert (await alice.delete(f"contacts/{bob.user_id}")).status == 204
    assert (await alice.get("contacts")).body == {"acceptedOnly": True, "contacts": [], "next": None}
    assert (await bob.get("contacts")).body == {"acceptedOnly": False, "contacts": [], "next": None}


async def test_people_are_blocked_and_unblocked_and_do_not_see_it() -> None:
    alice, bob = await register("alice"), await register("bob")
    before = [(await bob.get(path)).body for path in (f"users/{alice.user_id}/bundle", "users?query=alice")]
    assert (await alice.put(f"blocks/{bob.user_id}")).status == 204
    assert (await alice.put(f"blocks/{bob.user_id}")).status == 204
    assert names_in((await alice.get("blocks")).body["blocked"]) == ["bob"]
    after = [(await bob.get(path)).body for path in (f"users/{alice.user_id}/bundle", "users?query=alice")]
    assert after == before
    assert (await bob.get("blocks")).body == {"blocked": [], "next": None}
    assert (await alice.delete(f"blocks/{bob.user_id}")).status == 204
    assert (await alice.get("blocks")).body == {"blocked": [], "next": None}


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
    assert (await alice.get("requests")).body == {"requests": [], "next": None}
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


async def pages(api: Api, path: str, name: str, limit: int) -> list[list[str]]:
    """The usernames on every page of a list."""
    found, after = [], ""
    while True:
        answer = await api.get(f"{path}?limit={limit}&after={after}")
        assert answer.status == 200, answer
        entries = [each.get("sender", each) for each in answer.body[name]]
        found.append(names_in(entries))
        after = answer.body["next"]
        if after is None:
            return found


def people_said(owner: Api, count: int) -> None:
    """People whom the owner accepted and blocked, made in another order than that of their names."""
    names = [f"{'Pp'[number % 2]}erson-{number:03}" for number in reversed(range(count))]
    users = User.objects.bulk_create(
        User(username=name, username_folded=name.lower(), display_name=name) for name in names
    )
    Contact.objects.bulk_create(
        Contact(owner_id=owner.user_id, peer=user, is_accepted=True, is_blocked=True) for user in users
    )


@pytest.mark.parametrize(("path", "name"), [("contacts", "contacts"), ("blocks", "blocked")])
async def test_people_are_listed_a_page_at_a_time_by_username(path: str, name: str) -> None:
    alice = await register("alice")
    await run_in_database_thread(people_said, alice, 5)
    first, second, third = ["Person-000", "person-001"], ["Person-002", "person-003"], ["Person-004"]
    assert await pages(alice, path, name, 2) == [first, second, third]
    assert await pages(alice, path, name, 5) == [first + second + third]
    assert names_in((await alice.get(f"{path}?after=PERSON-002")).body[name]) == ["person-003", "Person-004"]
    assert (await alice.get(f"{path}?after=zed")).body["next"] is None


async def test_who_goes_between_two_pages_takes_nobody_along() -> None:
    alice = await register("alice")
    await run_in_database_thread(people_said, alice, 4)
    place = (await alice.get("blocks?limit=2")).body["next"]
    await run_in_database_thread(Contact.objects.filter(peer__username__endswith="-001").delete)
    await run_in_database_thread(Contact.objects.filter(peer__username__endswith="-002").delete)
    assert names_in((await alice.get(f"blocks?after={place}")).body["blocked"]) == ["person-003"]


async def test_a_page_has_a_hundred_by_itself_and_the_export_has_all() -> None:
    alice = await register("alice")
    await run_in_database_thread(people_said, alice, 101)
    for answer in (await alice.get("contacts"), await alice.patch("contacts", {"acceptedOnly": True})):
        assert (len(answer.body["contacts"]), answer.body["next"]) == (100, "person-099")
    assert len((await alice.get("contacts?limit=500")).body["contacts"]) == 101
    exported = await alice.post("account/export", {"password": PASSWORD})
    assert len(exported.body["contacts"]["contacts"]) == 101


def requests_of(owner: Api, *names: str) -> None:
    """One request of each, all taken at the same moment."""
    contacts.set_accepted_only(UUID(owner.user_id), True)
    senders = [make_recipient(name) for name in names]
    store(*(letter(sender, UUID(owner.user_id)) for sender in senders))


async def test_requests_are_listed_a_page_at_a_time_also_those_of_one_moment() -> None:
    alice = await register("alice")
    await run_in_database_thread(requests_of, alice, "bob", "carol", "dave")
    listed = await pages(alice, "requests", "requests", 1)
    assert sorted(listed) == [["bob"], ["carol"], ["dave"]]
    first = (await alice.get("requests?limit=1")).body
    await alice.delete(f"requests/{first['requests'][0]['sender']['id']}")
    others = (await alice.get(f"requests?after={first['next']}")).body["requests"]
    assert [[each["sender"]["username"]] for each in others] == listed[1:]


LATER = NOW + timedelta(minutes=1)


def requests_again_of(owner: Api, *names: str) -> None:
    """A second request of each, taken later."""
    senders = User.objects.filter(username__in=names).values_list("pk", flat=True)
    get_store().put([letter(sender, UUID(owner.user_id)) for sender in senders], CAPS, LATER)


def expire_what_came_before(moment: datetime) -> int:
    life = timedelta(days=1)
    return get_store().expire(moment + life, life, life, most=100)


async def test_who_was_told_is_not_told_again_when_the_oldest_message_expires_between_two_pages() -> None:
    alice, names = await register("alice"), ["bob", "carol", "dave"]
    await run_in_database_thread(requests_of, alice, *names)
    await run_in_database_thread(requests_again_of, alice, *names)
    place = (first := (await alice.get("requests?limit=1")).body)["next"]
    assert await run_in_database_thread(expire_what_came_before, LATER) == len(names)
    others = (await alice.get(f"requests?after={place}")).body
    told = [*first["requests"], *others["requests"]]
    assert sorted(each["sender"]["username"] for each in told) == names
    assert [each["messages"] for each in told] == [2, 1, 1]


NO_LIMITS = ("0", "501", "-1", "", "1.0", "1e1", "%2B1", "%201", "%D9%A3", "9" * 9, "9" * 10_000)
NO_PLACES = ("%00", "a%20b", "a%0A", "%ff", "{}", "x" * 65)


@pytest.mark.parametrize("path", ["contacts", "blocks", "requests"])
async def test_a_page_that_there_cannot_be_is_refused(path: str) -> None:
    alice = await register("alice")
    queries = [("limit", each) for each in NO_LIMITS] + [("after", each) for each in NO_PLACES]
    for field, value in [*queries, ("before", "a")]:
        answer = await alice.get(f"{path}?{field}={value}")
        assert answer.refusal == (422, "VALIDATION_FAILED"), (field, value)
        assert list(answer.body["fields"]) == [field], (field, value)
