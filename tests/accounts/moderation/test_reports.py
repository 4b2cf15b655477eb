"""Reports about users, over HTTP and in the table."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.moderation.models import Report
from accounts.moderation.reports import purge_reports, report
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
        purged = purge_reports(now + timedelta(days=364)), purge_reports(now + timedelta(days=366))
        return stored.reporter_id, stored.reported_id, *purged

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
        for _ in range(3):
            report(one, other, "spam", "", [])
            report(other, one, "spam", "", [])
        users = [User.objects.get(pk=each) for each in (one, other)]
        run_at_once(*(partial(delete_user, user) for user in users))
        assert not Report.objects.exclude(reporter=None, reported=None).exists()
    assert not User.objects.exists()
