"""Reports about users, over HTTP and in the table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.moderation.models import Report
from accounts.moderation.reports import purge_reports, report, reports_of
from accounts.services import delete_user
from construct_site.database import run_in_database_thread
from tests.messaging.conftest import amounts as amounts
from tests.messaging.mailbox.conftest import make_recipient, run_at_once
from tests.rest import Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
MESSAGE = "0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77"


async def test_a_report_is_kept_for_the_moderators() -> None:
    alice, bob = await register("alice"), await register("bob")
    messages = [str(uuid4()), str(uuid4())]
    body = {"userId": bob.user_id, "category": "spam", "text": " Sells\nthings. ", "messageIds": messages}
    answer = await alice.post("reports", body)
    assert answer.status == 201
    stored = await run_in_database_thread(Report.objects.get)
    assert (str(stored.pk), str(stored.reporter_id)) == (answer.body["id"], alice.user_id)
    assert (str(stored.reported_id), stored.category) == (bob.user_id, "spam")
    assert (stored.text, stored.message_ids) == ("Sells\nthings.", messages)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"userId": str(uuid4())}, (404, "USER_NOT_FOUND")),
        ({"userId": "bob"}, (422, "INVALID_USER_ID")),
        ({"category": "boring"}, (422, "VALIDATION_FAILED")),
        ({"text": "x" * 2001}, (422, "VALIDATION_FAILED")),
        ({"text": "a\0b"}, (422, "VALIDATION_FAILED")),
        ({"text": 5}, (422, "VALIDATION_FAILED")),
        ({"messageIds": ["one"]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": [7]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": [2**127]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": [True]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": [None]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": [[MESSAGE]]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": [MESSAGE, MESSAGE.replace("-", "")]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": ["{" + MESSAGE + "}"]}, (422, "VALIDATION_FAILED")),
        ({"messageIds": ["urn:uuid:" + MESSAGE]}, (422, "VALIDATION_FAILED")),
        ({"userId": 7}, (422, "VALIDATION_FAILED")),
        ({"messageIds": [str(uuid4()) for _ in range(101)]}, (422, "VALIDATION_FAILED")),
        ({"content": "what was written"}, (422, "VALIDATION_FAILED")),
    ],
)
async def test_what_breaks_a_rule_is_not_kept(change: dict[str, Any], refusal: tuple[int, str]) -> None:
    alice, bob = await register("alice"), await register("bob")
    body = {"userId": bob.user_id, "category": "spam", "text": "", "messageIds": [], **change}
    answer = await alice.post("reports", body)
    assert answer.refusal == refusal
    assert answer.body.get("fields", change).keys() == change.keys()
    assert await run_in_database_thread(Report.objects.count) == 0


async def test_the_id_of_a_message_may_be_written_in_either_case() -> None:
    alice, bob = await register("alice"), await register("bob")
    body = {"userId": bob.user_id, "category": "spam", "messageIds": [MESSAGE.upper()]}
    assert (await alice.post("reports", body)).status == 201
    assert (await run_in_database_thread(Report.objects.get)).message_ids == [MESSAGE]


async def test_who_waits_for_approval_is_nobody_here_too(amounts: Any) -> None:
    alice = await register("alice")
    amounts(registration="approval")
    bob = await register("bob")
    body = {"userId": bob.user_id, "category": "other"}
    assert (await alice.post("reports", body)).refusal == (404, "USER_NOT_FOUND")


async def test_nobody_reports_themselves() -> None:
    alice = await register("alice")
    body = {"userId": alice.user_id, "category": "other"}
    assert (await alice.post("reports", body)).refusal == (422, "INVALID_USER_ID")


async def test_reports_are_limited(amounts: Any) -> None:
    amounts(reports_per_day=1)
    alice, bob = await register("alice"), await register("bob")
    body = {"userId": bob.user_id, "category": "other"}
    assert [(await alice.post("reports", body)).status for _ in range(2)] == [201, 429]


async def test_they_are_for_who_is_logged_in() -> None:
    assert (await Api().post("reports", {})).refusal == (401, "AUTH_REQUIRED")


async def test_a_report_outlives_both_accounts_without_naming_them_until_it_is_old() -> None:
    alice, bob = await register("alice"), await register("bob")
    await alice.post("reports", {"userId": bob.user_id, "category": "other", "text": "Look."})

    def outlive() -> tuple[object, object, int, int]:
        for user in User.objects.all():
            delete_user(user)
        stored, now = Report.objects.get(), timezone.now()
        early, late = (purge_reports(now + timedelta(days=days), most=10) for days in (364, 366))
        return stored.reporter_id, stored.reported_id, early, late

    assert await run_in_database_thread(outlive) == (None, None, 0, 1)


async def test_of_very_many_message_ids_the_length_alone_is_refused() -> None:
    alice, bob = await register("alice"), await register("bob")
    answer = await alice.post(
        "reports", {"userId": bob.user_id, "category": "spam", "messageIds": [[]] * 100_000}
    )
    assert answer.refusal == (422, "VALIDATION_FAILED")
    assert len(str(answer.body)) < 500


def test_two_who_reported_each_other_can_be_deleted_at_once() -> None:
    for number in range(10):
        one, other = (make_recipient(f"{name}{number}") for name in ("one", "other"))
        for category in ("spam", "harassment", "other"):
            report(one, other, category, "", [])
            report(other, one, category, "", [])
        users = [User.objects.get(pk=each) for each in (one, other)]
        run_at_once(*(partial(delete_user, user) for user in users))
        assert not Report.objects.exclude(reporter=None, reported=None).exists()
    assert not User.objects.exists()


class TestOnceMore:
    """The same reporter about the same person in the same category."""

    async def test_the_earlier_report_is_the_answer_and_takes_what_is_new(self) -> None:
        alice, bob = await register("alice"), await register("bob")
        body = {"userId": bob.user_id, "category": "spam", "text": "Sells things.", "messageIds": [MESSAGE]}
        other = str(uuid4())
        first = await alice.post("reports", body)
        again = await alice.post("reports", {**body, "text": "Threatens.", "messageIds": [other, MESSAGE]})
        silent = await alice.post("reports", {**body, "text": ""})
        assert {(each.status, each.body["id"]) for each in (first, again, silent)} == {
            (201, first.body["id"])
        }
        stored = await run_in_database_thread(Report.objects.get)
        assert (stored.text, stored.message_ids) == ("Threatens.", [MESSAGE, other])

    def test_of_more_messages_than_a_report_names_the_first_stay(self) -> None:
        alice, bob = make_recipient("alice"), make_recipient("bob")
        ids = [str(uuid4()) for _ in range(150)]
        for part in (ids[:90], ids[60:150]):
            report(alice, bob, "spam", "", part)
        assert Report.objects.get().message_ids == ids[:100]

    @pytest.mark.parametrize("state", Report.State)
    def test_only_while_the_earlier_is_open(self, state: Report.State) -> None:
        alice, bob = make_recipient("alice"), make_recipient("bob")
        earlier = report(alice, bob, "spam", "First.", [])
        Report.objects.update(state=state)
        later = report(alice, bob, "spam", "Second.", [])
        assert (later == earlier) is (state in ("new", "taken"))
        assert Report.objects.get(pk=later).text == "Second."

    def test_another_reporter_person_or_category_is_another_report(self) -> None:
        alice, bob, carol = (make_recipient(name) for name in ("alice", "bob", "carol"))
        asked = [(alice, bob, "spam"), (alice, bob, "other"), (alice, carol, "spam"), (carol, bob, "spam")]
        assert len({report(*each, "", []) for each in asked}) == 4

    def test_two_at_once_are_one(self) -> None:
        alice, bob = make_recipient("alice"), make_recipient("bob")
        ids = [str(uuid4()) for _ in range(4)]
        run_at_once(*(partial(report, alice, bob, "spam", "", [each]) for each in ids))
        assert sorted(Report.objects.get().message_ids) == sorted(ids)


class TestTheOwnList:
    async def test_tells_the_reporter_what_came_of_it_and_nothing_else(self) -> None:
        alice, bob = await register("alice"), await register("bob")
        made = await alice.post("reports", {"userId": bob.user_id, "category": "spam", "text": "Look."})
        created = (await run_in_database_thread(Report.objects.get)).created_at
        told = {
            "id": made.body["id"],
            "userId": bob.user_id,
            "category": "spam",
            "created": int(created.timestamp()),
            "outcome": "received",
            "updated": None,
        }
        assert (await alice.get("reports")).body == {"reports": [told], "next": None}
        assert (await bob.get("reports")).body == {"reports": [], "next": None}
        await run_in_database_thread(User.objects.filter(pk=bob.user_id).delete)
        assert (await alice.get("reports")).body["reports"] == [{**told, "userId": None}]

    async def test_needs_a_session(self) -> None:
        assert (await Api().get("reports")).refusal == (401, "AUTH_REQUIRED")

    @pytest.mark.parametrize(
        ("state", "outcome"),
        [
            ("new", "received"),
            ("taken", "in_review"),
            ("resolved", "acted_on"),
            ("dismissed", "no_action"),
        ],
    )
    async def test_has_a_word_for_each_state(self, state: str, outcome: str) -> None:
        alice, bob = await register("alice"), await register("bob")
        await alice.post("reports", {"userId": bob.user_id, "category": "spam"})
        changed_at = datetime(2026, 11, 26, 12, tzinfo=UTC)
        await run_in_database_thread(Report.objects.update, state=state, updated_at=changed_at)
        [told] = (await alice.get("reports")).body["reports"]
        assert (told["outcome"], told["updated"]) == (outcome, int(changed_at.timestamp()))

    async def test_comes_in_pages_newest_first_also_of_one_moment(self) -> None:
        alice = await register("alice")

        def make() -> list[str]:
            reporter = User.objects.get(username="alice")
            times = [
                datetime(2026, 11, 26, 12, tzinfo=UTC) + timedelta(microseconds=n // 2) for n in range(5)
            ]
            made = [Report(reporter=reporter, category="spam", created_at=created_at) for created_at in times]
            Report.objects.bulk_create(made)
            return [str(each.pk) for each in reports_of(reporter.pk)]

        expected = await run_in_database_thread(make)
        found, after = [], [""]
        for place in after:
            page = (await alice.get(f"reports?limit=2&after={place}")).body
            found.append([each["id"] for each in page["reports"]])
            after += [page["next"]] if page["next"] else []
        assert found == [expected[:2], expected[2:4], expected[4:]]

    async def test_what_comes_and_goes_between_two_pages_shifts_nothing(self) -> None:
        alice, bob = await register("alice"), await register("bob")
        for category in ("spam", "harassment", "other"):
            await alice.post("reports", {"userId": bob.user_id, "category": category})
        first = (await alice.get("reports?limit=1")).body
        await alice.post("reports", {"userId": bob.user_id, "category": "illegal"})
        await run_in_database_thread(Report.objects.filter(category="other").delete)
        rest = (await alice.get(f"reports?after={first['next']}")).body["reports"]
        assert [each["category"] for each in (*first["reports"], *rest)] == ["other", "harassment", "spam"]

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=501", "limit=x", "after=bob", "after=20261126T120000.000000.x", "after=+"]
    )
    async def test_refuses_a_page_that_there_cannot_be(self, query: str) -> None:
        answer = await (await register("alice")).get(f"reports?{query}")
        assert answer.refusal == (422, "VALIDATION_FAILED")
        assert list(answer.body["fields"]) == [query.partition("=")[0]]


def test_with_the_head_of_a_case_its_repeats_do_not_go() -> None:
    alice, bob, carol = (make_recipient(name) for name in ("alice", "bob", "carol"))
    head, repeat = report(alice, bob, "spam", "", []), report(carol, bob, "spam", "", [])
    now = timezone.now()
    Report.objects.filter(pk=head).update(created_at=now - timedelta(days=366), state="resolved")
    Report.objects.filter(pk=repeat).update(merged_into=head, state="resolved")
    assert purge_reports(now, most=10) == 1
    left = Report.objects.get()
    assert (left.pk, left.merged_into_id, left.state) == (repeat, None, "resolved")


def test_a_round_takes_the_oldest_and_leaves_repeats_of_what_went_standing_by_themselves() -> None:
    reporter, bob = (make_recipient(name) for name in ("alice", "bob"))
    now = timezone.now()
    made = [
        Report(
            reporter_id=reporter,
            reported_id=bob,
            category="spam",
            state="dismissed",
            created_at=now - timedelta(days=400 - number),
        )
        for number in range(5)
    ]
    for each in made[1:]:
        each.merged_into = made[0]
    Report.objects.bulk_create(reversed(made))
    left = [[each.pk for each in made[first:]] for first in (2, 4)]
    for expected, gone in zip([*left, []], (2, 2, 1), strict=True):
        assert purge_reports(now, most=2) == gone
        rows = Report.objects.order_by("created_at").values_list("pk", "merged_into", "state")
        assert list(rows) == [(pk, None, "dismissed") for pk in expected]
    assert purge_reports(now, most=2) == 0
