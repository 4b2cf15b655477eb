"""The queue of reports in the admin, as a moderator's browser sees it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.audit.models import AuditEntry
from accounts.desk.lists import MANY
from accounts.models import User
from accounts.moderation.admin import ACTS
from accounts.moderation.models import Report
from accounts.moderation.reports import report
from accounts.services import suspend_user

pytestmark = pytest.mark.django_db
QUEUE = reverse("admin:moderation_report_changelist")
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def page(report_id: UUID, name: str = "change") -> str:
    return reverse(f"admin:moderation_report_{name}", args=[report_id])


def browser(name: str, *permissions: str) -> Client:
    """Of a person of the staff with these permissions."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def moderator() -> Client:
    return browser("moderator", "view_report", "handle_report")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def made(alice: User, bob: User) -> UUID:
    return report(alice.pk, bob.pk, "spam", "<b>Sells</b>\nthings.", [str(uuid4())])


def text_of(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_tells_what_was_reported_as_text_and_links_to_the_people(
    moderator: Client, alice: User, bob: User, made: UUID
) -> None:
    text = text_of(moderator, page(made))
    assert "&lt;b&gt;Sells&lt;/b&gt;<br>things." in text
    assert Report.objects.get().message_ids[0] in text
    for user in (alice, bob):
        assert f' href="{reverse("admin:accounts_user_change", args=[user.pk])}">{user}</a>' in text


def test_the_pages_of_both_people_lead_to_the_report(alice: User, bob: User, made: UUID) -> None:
    onlooker = browser("onlooker", "view_user", "view_report")
    about = reverse("admin:accounts_user_change", args=[bob.pk])
    by = reverse("admin:accounts_user_change", args=[alice.pk])
    assert cells_of(onlooker, about, "Reports about this user") == [page(made), "spam", "new", by]
    assert cells_of(onlooker, about, "Reports by this user") == []
    assert cells_of(onlooker, by, "Reports by this user") == [page(made), "spam", "new", about]
    assert cells_of(onlooker, by, "Reports about this user") == []
    User.objects.filter(pk=alice.pk).delete()
    assert cells_of(onlooker, about, "Reports about this user") == [page(made), "spam", "new", "-"]
    assert "Reports" not in text_of(browser("other", "view_user"), about)


def test_no_page_of_a_user_shows_whom_of_the_staff_was_reported(alice: User) -> None:
    client = browser("subject", "view_user", "view_report")
    subject = User.objects.get(username="subject")
    made = report(alice.pk, subject.pk, "spam", "", [])
    for user in (alice, subject):
        address = reverse("admin:accounts_user_change", args=[user.pk])
        assert page(made) not in text_of(client, address)
        assert page(made) in text_of(browser(f"beside-{user}", "view_user", "view_report"), address)


def test_cases_and_repeats_are_links(moderator: Client, alice: User, bob: User, made: UUID) -> None:
    other = report(alice.pk, bob.pk, "other", "", [])
    for merged, shown_on in ((None, made), (made, made)):
        Report.objects.filter(pk=other).update(merged_into=merged)
        text = text_of(moderator, page(shown_on))
        assert re.search(rf'<a [^>]*href="{page(other)}"', text)
        assert "&lt;a" not in text
        assert "&lt;div" not in text


@pytest.mark.parametrize("role", ["staff", "superuser"])
def test_what_would_be_refused_is_not_offered(bob: User, made: UUID, alice: User, role: str) -> None:
    client = browser("acting", "view_report", "handle_report")
    acting = User.objects.filter(username="acting")
    acting.update(is_superuser=role == "superuser")
    assert page(made, "take") in text_of(client, page(made))
    assert page(made, "merge") not in text_of(client, page(made)), "there is no other case"
    report(alice.pk, bob.pk, "other", "", [])
    assert page(made, "merge") in text_of(client, page(made))
    Report.objects.filter(pk=made).update(state="taken", assignee=acting.get())
    assert page(made, "take") not in text_of(client, page(made))
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    assert (page(made, "resolve") in text_of(client, page(made))) is (role == "superuser")
    Report.objects.filter(pk=made).update(reporter=acting.get())
    assert page(made, "resolve") not in text_of(client, page(made))


def cells_of(client: Client, address: str, title: str) -> list[str]:
    """Of a panel of the page: where its cells lead, or what they say."""
    panel = text_of(client, address).partition(f">{title}</h2>")[2].partition("</section>")[0]
    cells = re.findall(r'<td[^>]*>(?:<a [^>]*href="([^"]*)">[^<]*</a>|([^<]*))</td>', panel)
    return [led or said for led, said in cells]


def test_what_can_be_done_depends_on_the_state(moderator: Client, made: UUID, alice: User, bob: User) -> None:
    report(alice.pk, bob.pk, "other", "", [])
    offered = {}
    for state in Report.State:
        Report.objects.update(state=state)
        text = text_of(moderator, page(made))
        offered[state.value] = [word for word in ACTS if f'"{page(made, word)}"' in text]
    ended = ["reopen", "note"]
    assert offered == {
        "new": ["take", "assign", "resolve", "dismiss", "merge", "note"],
        "taken": ["take", "assign", "release", "resolve", "dismiss", "merge", "note"],
        "resolved": ended,
        "dismissed": ended,
    }


@pytest.mark.parametrize(
    ("word", "state", "after"),
    [
        ("take", "new", "taken"),
        ("release", "taken", "new"),
        ("resolve", "new", "resolved"),
        ("dismiss", "new", "dismissed"),
        ("reopen", "dismissed", "new"),
    ],
)
def test_each_act_asks_for_a_reason_and_is_done(
    moderator: Client, made: UUID, word: str, state: str, after: str
) -> None:
    Report.objects.update(state=state)
    form = unescape(text_of(moderator, page(made, word)))
    assert 'name="reason"' in form
    assert ACTS[word].explanation in form
    assert ">bob</a>" in form
    for refused in ({}, {"reason": " "}, {"reason": "x" * 501}):
        assert moderator.post(page(made, word), refused).status_code == 200
        assert (Report.objects.get().state, AuditEntry.objects.count()) == (state, 0)
    answer = moderator.post(page(made, word), {"reason": "why"})
    assert answer["location"] == page(made)
    entry = AuditEntry.objects.get()
    assert (Report.objects.get().state, entry.reason) == (after, "why")
    assert entry.actor_id == User.objects.get(username="moderator").pk


def test_a_case_is_given_to_one_of_the_staff_who_may_handle_it(
    moderator: Client, alice: User, bob: User, made: UUID
) -> None:
    for name, permissions in {
        "able": ["view_report", "handle_report"],
        "onlooker": ["view_report"],
        "blind": ["handle_report"],
    }.items():
        browser(name, *permissions)
    form = text_of(moderator, page(made, "assign"))
    users = {user.username: user for user in User.objects.all()}
    assert {name for name, user in users.items() if f'value="{user.pk}"' in form} == {"able"}
    for name in ("onlooker", "moderator", "Alice"):
        answer = moderator.post(page(made, "assign"), {"reason": "why", "assignee": users[name].pk})
        assert answer.status_code == 200
    assert Report.objects.get().assignee_id is None
    moderator.post(page(made, "assign"), {"reason": "why", "assignee": users["able"].pk})
    assert Report.objects.get().assignee_id == users["able"].pk
    assert f">{users['able']}</a>" in text_of(moderator, page(made))


@pytest.mark.parametrize(
    ("word", "label", "state"),
    [("take", "Take reports", "taken"), ("dismiss", "Dismiss reports", "dismissed")],
)
def test_several_are_taken_or_dismissed_at_once_for_a_reason_and_refusals_are_told(
    moderator: Client, alice: User, bob: User, made: UUID, word: str, label: str, state: str
) -> None:
    other = report(alice.pk, bob.pk, "other", "", [])
    browser("other", "view_report", "handle_report").post(page(other, "take"), {"reason": "mine"})
    third = report(bob.pk, alice.pk, "other", "", [])
    selection = {"action": word, "_selected_action": [made, other, third]}
    assert 'name="reason"' in moderator.post(QUEUE, selection).content.decode()
    assert Report.objects.filter(state="new").count() == 2
    answer = moderator.post(QUEUE, {**selection, "apply": "yes", "reason": "a raid"}, follow=True)
    told = answer.content.decode()
    assert f"{label}: done for 2 of 3." in told
    assert f"report {other}: Somebody else has taken this report." in told
    me = User.objects.get(username="moderator")
    moved = Report.objects.filter(assignee=me, state=state)
    assert set(moved.values_list("pk", flat=True)) == {made, third}
    assert AuditEntry.objects.filter(action=f"{word}_report", reason="a raid").count() == 2


@pytest.mark.parametrize("word", ["take", "dismiss"])
def test_more_than_a_hundred_at_once_are_left_as_they_are(
    moderator: Client, alice: User, bob: User, word: str
) -> None:
    Report.objects.bulk_create(Report(reporter=alice, reported=bob, category="spam") for _ in range(MANY + 1))
    chosen = list(Report.objects.values_list("pk", flat=True))
    form = {"action": word, "_selected_action": chosen, "apply": "yes", "reason": "a raid"}
    assert "At most 100 at once." in moderator.post(QUEUE, form, follow=True).content.decode()
    assert (Report.objects.filter(state="new").count(), AuditEntry.objects.count()) == (MANY + 1, 0)
    moderator.post(QUEUE, {**form, "_selected_action": chosen[1:]})
    assert (Report.objects.filter(state="new").count(), AuditEntry.objects.count()) == (1, MANY)


@pytest.mark.parametrize("word", ["take", "dismiss"])
def test_who_may_only_look_takes_and_dismisses_none(made: UUID, word: str) -> None:
    form = {"action": word, "_selected_action": [made], "apply": "yes", "reason": "why"}
    browser("seeing", "view_report").post(QUEUE, form)
    assert (Report.objects.get().state, AuditEntry.objects.count()) == ("new", 0)


def test_a_case_is_resolved_with_a_suspension_of_the_person(
    moderator: Client, alice: User, bob: User, made: UUID
) -> None:
    own, other = (
        suspend_user(user.pk, public_reason="", internal_reason="x", ends_at=None).pk for user in (bob, alice)
    )
    form = text_of(moderator, page(made, "resolve"))
    assert str(own) in form
    assert str(other) not in form
    assert moderator.post(page(made, "resolve"), {"reason": "why", "suspension": other}).status_code == 200
    assert Report.objects.get().state == "new"
    moderator.post(page(made, "resolve"), {"reason": "why", "suspension": own})
    assert Report.objects.get().suspension_id == own
    assert "without an end" in text_of(moderator, page(made))


def test_a_report_is_merged_into_a_case_about_the_same_person(
    moderator: Client, alice: User, bob: User, made: UUID
) -> None:
    repeat = report(alice.pk, bob.pk, "harassment", "", [])
    foreign = report(bob.pk, alice.pk, "spam", "", [])
    form = text_of(moderator, page(repeat, "merge"))
    assert str(made) in form
    assert str(foreign) not in form
    assert page(made) in text_of(moderator, page(repeat)), "the other case is linked"
    moderator.post(page(repeat, "merge"), {"reason": "the same", "into": made})
    assert Report.objects.get(pk=repeat).merged_into_id == made
    assert page(repeat) in text_of(moderator, page(made))
    told = text_of(moderator, page(repeat))
    assert page(made) in told
    assert "its case is acted on" in told
    queue = text_of(moderator, QUEUE)
    assert page(made) in queue
    assert page(repeat) not in queue
    assert page(repeat) in text_of(moderator, QUEUE, repeats="shown")


def test_a_note_is_written_and_shown(moderator: Client, made: UUID) -> None:
    moderator.post(page(made, "note"), {"note": "<i>Wait</i>"})
    assert Report.objects.get().note == "<i>Wait</i>"
    assert "&lt;i&gt;Wait&lt;/i&gt;" in text_of(moderator, page(made))
    assert "&lt;i&gt;Wait&lt;/i&gt;" in text_of(moderator, page(made, "note"))


def test_who_comes_second_is_told_so_on_the_form(moderator: Client, made: UUID) -> None:
    browser("other", "view_report", "handle_report").post(page(made, "take"), {"reason": "mine"})
    answer = moderator.post(page(made, "take"), {"reason": "mine"})
    assert answer.status_code == 200
    assert "Somebody else has taken this report." in answer.content.decode()
    assert AuditEntry.objects.count() == 1


def test_nobody_sees_the_reports_about_themselves(moderator: Client, alice: User) -> None:
    me = User.objects.get(username="moderator")
    about_me = report(alice.pk, me.pk, "other", "", [])
    assert page(about_me) not in text_of(moderator, QUEUE)
    assert moderator.get(page(about_me)).status_code == 302
    assert moderator.post(page(about_me, "dismiss"), {"reason": "why"}).status_code == 404
    assert page(about_me) in text_of(browser("other", "view_report"), QUEUE)


def test_each_permission_opens_what_it_names(made: UUID) -> None:
    without, seeing = browser("without"), browser("seeing", "view_report")
    assert without.get(QUEUE).status_code == 403
    assert without.get(page(made)).status_code == 403
    text = text_of(seeing, page(made))
    for word in ACTS:
        assert page(made, word) not in text
        for client in (without, seeing):
            assert client.post(page(made, word), {"reason": "why", "note": "x"}).status_code == 403
    assert Client().post(page(made, "take"), {"reason": "why"}).status_code == 302
    assert (Report.objects.get().state, AuditEntry.objects.count()) == ("new", 0)


def test_a_report_is_neither_added_nor_edited_nor_deleted(moderator: Client, made: UUID) -> None:
    assert moderator.get(reverse("admin:moderation_report_add")).status_code == 403
    assert moderator.post(page(made), {"state": "resolved"}).status_code == 403
    assert moderator.post(page(made, "delete"), {"post": "yes"}).status_code == 403
    assert Report.objects.get().state == "new"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"new", "taken", "of another"}),
        ({"state": "all"}, {"new", "taken", "of another", "ended"}),
        ({"state": "resolved"}, {"ended"}),
        ({"state": "taken"}, {"taken", "of another"}),
        ({"category__exact": "spam"}, {"new"}),
        ({"assignment": "mine"}, {"taken"}),
        ({"assignment": "others"}, {"of another"}),
        ({"assignment": "nobody"}, {"new"}),
        ({"q": "BOB"}, {"new", "taken", "of another"}),
        ({"q": "carol"}, set()),
    ],
)
def test_the_queue_is_filtered(
    moderator: Client, alice: User, bob: User, query: dict[str, str], expected: set[str]
) -> None:
    me, other = User.objects.get(username="moderator"), User.objects.create_user("other", is_staff=True)
    rows: dict[str, dict[str, Any]] = {
        "new": {"category": "spam"},
        "taken": {"category": "other", "state": "taken", "assignee": me},
        "of another": {"category": "other", "state": "taken", "assignee": other},
        "ended": {"category": "other", "state": "resolved", "assignee": me},
    }
    stored = {name: Report.objects.create(reporter=alice, reported=bob, **row) for name, row in rows.items()}
    text = text_of(moderator, QUEUE, **query)
    assert {name for name, row in stored.items() if page(row.pk) in text} == expected


def test_lists_and_pages_ask_as_often_among_ten_thousand(
    moderator: Client, made: UUID, alice: User, bob: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Session, user, second factor, two for rights; the list: how many match, and a page; a page: itself and two."""
    for _ in range(2):
        with django_assert_num_queries(7):
            moderator.get(QUEUE)
        with django_assert_num_queries(8):
            moderator.get(page(made))
        others = [
            Report(reporter=alice, reported=bob, category="spam", created_at=NOON + timedelta(seconds=number))
            for number in range(10_000)
        ]
        for number, each in enumerate(others):
            each.merged_into_id = made if number % 2 else None
        Report.objects.bulk_create(others)
