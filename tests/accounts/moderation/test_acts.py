"""What staff do to reports: it happens to the whole case, it is in the audit, and who may not do it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group

from accounts.audit.chain import OPERATOR, SYSTEM, Actor
from accounts.audit.models import AuditEntry
from accounts.audit.verification import verify
from accounts.desk.permissions import write_roles
from accounts.models import Suspension, User
from accounts.moderation import acts
from accounts.moderation.models import Report
from accounts.moderation.reports import report
from accounts.services import delete_user, suspend_user
from construct_site.errors import ConstructError, ErrorCode
from tests.messaging.mailbox.conftest import run_at_once

pytestmark = pytest.mark.django_db(transaction=True)
Act = Callable[..., object]
OPEN, ENDED = ("new", "taken"), ("resolved", "dismissed")


def assign(actor: Actor, report_id: UUID, *, reason: str) -> None:
    """To somebody who may be given any."""
    colleague, _ = User.objects.get_or_create(
        username="colleague", username_folded="colleague", is_staff=True, is_superuser=True
    )
    acts.assign(actor, report_id, colleague.pk, reason=reason)


ACTS: dict[str, tuple[Act, str]] = {
    "take_report": (acts.take, "new"),
    "assign_report": (assign, "new"),
    "release_report": (acts.release, "taken"),
    "resolve_report": (acts.resolve, "new"),
    "dismiss_report": (acts.dismiss, "new"),
    "reopen_report": (acts.reopen, "resolved"),
    "note_report": (partial(acts.write_note, note="Look again."), "new"),
}
"""By the word of the audit, with a state in which each can be done."""
AFTER = {
    "take_report": "taken",
    "assign_report": "taken",
    "release_report": "new",
    "resolve_report": "resolved",
    "dismiss_report": "dismissed",
    "reopen_report": "new",
}


def staff(name: str, role: str = "") -> Actor:
    user = User.objects.create_user(name, is_staff=True)
    if role:
        write_roles(apps)
        user.groups.add(Group.objects.get(name=role))
    return Actor.staff(user.pk)


@pytest.fixture
def moderator() -> Actor:
    return staff("moderator")


@pytest.fixture
def bob() -> User:
    """Whom the reports are about."""
    return User.objects.create_user("bob")


def reported(user: User, by: str = "alice", state: str = "new", category: str = "spam") -> UUID:
    reporter, _ = User.objects.get_or_create(username=by, username_folded=by)
    made = report(reporter.pk, user.pk, category, "", [])
    Report.objects.filter(pk=made).update(state=state)
    return made


def state_of(report_id: UUID) -> str:
    return Report.objects.get(pk=report_id).state


def refusal(act: Callable[[], object]) -> ErrorCode:
    """Why nothing happened."""
    before = list(Report.objects.order_by("pk").values()), AuditEntry.objects.count()
    with pytest.raises(ConstructError) as refused:
        act()
    assert (list(Report.objects.order_by("pk").values()), AuditEntry.objects.count()) == before
    return refused.value.code


@pytest.mark.parametrize("word", ACTS)
def test_each_act_is_one_entry(moderator: Actor, bob: User, word: str) -> None:
    act, state = ACTS[word]
    made = reported(bob, state=state)
    act(moderator, made, reason="why")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_id, entry.user_id) == (word, moderator.id, bob.pk)
    assert (entry.target.partition(" to ")[0], entry.reason) == (f"report {made}", "why")
    assert state_of(made) == AFTER.get(word, state)
    assert verify().faults == []


@pytest.mark.parametrize("word", sorted(set(ACTS) - {"note_report"}))
@pytest.mark.parametrize("reason", ["", " \n", "x" * 501, "a\0b"])
def test_without_a_good_reason_nothing_happens(moderator: Actor, bob: User, word: str, reason: str) -> None:
    act, state = ACTS[word]
    made = reported(bob, state=state)
    assert refusal(partial(act, moderator, made, reason=reason)) is ErrorCode.VALIDATION_FAILED


@pytest.mark.parametrize("word", ACTS)
def test_what_is_not_there_is_not_found(moderator: Actor, word: str) -> None:
    act, _ = ACTS[word]
    assert refusal(partial(act, moderator, uuid4(), reason="why")) is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("word", "states"),
    [
        ("take_report", ENDED),
        ("assign_report", ENDED),
        ("release_report", ("new", *ENDED)),
        ("resolve_report", ENDED),
        ("dismiss_report", ENDED),
        ("reopen_report", OPEN),
    ],
)
def test_in_another_state_there_is_nothing_to_do(
    moderator: Actor, bob: User, word: str, states: tuple[str, ...]
) -> None:
    act, _ = ACTS[word]
    for state in states:
        made = reported(bob, state=state)
        assert refusal(partial(act, moderator, made, reason="why")) is ErrorCode.FORBIDDEN


class TestConflictsOfInterest:
    @pytest.mark.parametrize("word", ACTS)
    def test_who_is_reported_does_nothing_about_it(self, word: str) -> None:
        act, state = ACTS[word]
        root = User.objects.create_superuser("root")
        made = reported(root, state=state)
        assert refusal(partial(act, Actor.staff(root.pk), made, reason="why")) is ErrorCode.FORBIDDEN

    @pytest.mark.parametrize("word", ACTS)
    def test_nor_does_who_reported_even_if_it_was_a_repeat(
        self, moderator: Actor, bob: User, word: str
    ) -> None:
        act, state = ACTS[word]
        own, head = reported(bob, by="moderator", state=state), reported(bob, state=state)
        assert refusal(partial(act, moderator, own, reason="why")) is ErrorCode.FORBIDDEN
        Report.objects.filter(pk=own).update(merged_into=head)
        assert refusal(partial(act, moderator, head, reason="why")) is ErrorCode.FORBIDDEN

    @pytest.mark.parametrize("word", ACTS)
    def test_a_superuser_is_judged_by_superusers(self, moderator: Actor, word: str) -> None:
        act, state = ACTS[word]
        made = reported(User.objects.create_superuser("root"), state=state)
        assert refusal(partial(act, moderator, made, reason="why")) is ErrorCode.FORBIDDEN
        act(Actor.staff(User.objects.create_superuser("other").pk), made, reason="why")

    @pytest.mark.parametrize("changes", [{"is_staff": False}, {"is_active": False}])
    @pytest.mark.parametrize("is_gone", [False, True])
    def test_who_is_no_longer_of_the_staff_does_nothing(
        self, moderator: Actor, bob: User, changes: dict[str, bool], is_gone: bool
    ) -> None:
        made = reported(bob)
        if is_gone:
            delete_user(bob)
        User.objects.filter(username="moderator").update(**changes)
        assert refusal(partial(acts.take, moderator, made, reason="why")) is ErrorCode.FORBIDDEN


class TestAssignment:
    def test_who_takes_it_sees_to_it(self, moderator: Actor, bob: User) -> None:
        made = reported(bob)
        acts.take(moderator, made, reason="why")
        assert Report.objects.get().assignee_id == moderator.id
        for act in (acts.take, acts.resolve, acts.dismiss):
            assert refusal(partial(act, staff(act.__name__), made, reason="why")) is ErrorCode.FORBIDDEN
        assert refusal(partial(acts.take, moderator, made, reason="why")) is ErrorCode.FORBIDDEN
        acts.resolve(moderator, made, reason="why")
        assert Report.objects.get().assignee_id == moderator.id

    def test_it_is_given_to_another_who_alone_ends_it(self, moderator: Actor, bob: User) -> None:
        made, other = reported(bob), staff("other", "Moderator")
        assert other.id
        acts.assign(moderator, made, other.id, reason="knows the language")
        assert (state_of(made), Report.objects.get().assignee_id) == ("taken", other.id)
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.target) == ("assign_report", f"report {made} to {other.id}")
        assert refusal(partial(acts.dismiss, moderator, made, reason="why")) is ErrorCode.FORBIDDEN
        acts.dismiss(other, made, reason="why")
        assert verify().faults == []

    def test_one_that_is_taken_goes_to_another_and_reporters_are_told_nothing(
        self, moderator: Actor, bob: User
    ) -> None:
        made, other, third = reported(bob), staff("other"), staff("third", "Operator")
        assert third.id
        acts.take(moderator, made, reason="why")
        taken = Report.objects.get()
        acts.assign(other, made, third.id, reason="ill")
        given = Report.objects.get()
        assert given.assignee_id == third.id
        assert (given.state, given.updated_at) == (taken.state, taken.updated_at)
        again = partial(acts.assign, other, made, third.id, reason="why")
        assert refusal(again) is ErrorCode.VALIDATION_FAILED, "they have it"

    @pytest.mark.parametrize(
        ("role", "changes"),
        [
            ("", {}),
            ("Moderator", {"is_staff": False}),
            ("Moderator", {"is_active": False}),
            ("", {"is_superuser": True, "is_active": False}),
        ],
    )
    def test_nobody_is_given_one_who_may_not_handle_it(
        self, moderator: Actor, bob: User, role: str, changes: dict[str, bool]
    ) -> None:
        other = staff("other", role)
        assert other.id
        User.objects.filter(pk=other.id).update(**changes)
        for each in (other.id, uuid4()):
            act = partial(acts.assign, moderator, reported(bob), each, reason="why")
            assert refusal(act) is ErrorCode.VALIDATION_FAILED

    def test_nobody_is_given_one_by_or_about_themselves(self, moderator: Actor) -> None:
        subject, reporter = staff("subject", "Moderator"), staff("reporter", "Moderator")
        root, other = (User.objects.create_superuser(name) for name in ("root", "other"))
        about = User.objects.get(username="subject")
        about_staff, repeat = reported(about), reported(about, by="reporter")
        Report.objects.filter(pk=repeat).update(merged_into=about_staff)
        actor, colleague = Actor.staff(root.pk), staff("beside", "Moderator")
        for each in (subject.id, reporter.id, colleague.id, moderator.id, root.pk):
            assert each
            act = partial(acts.assign, actor, about_staff, each, reason="why")
            assert refusal(act) is ErrorCode.VALIDATION_FAILED
        acts.assign(actor, about_staff, other.pk, reason="why")
        assert Report.objects.get(pk=about_staff).assignee_id == other.pk

    def test_of_several_who_are_given_it_at_once_while_one_goes_one_has_it(
        self, moderator: Actor, bob: User
    ) -> None:
        for number in range(4):
            made = reported(bob, by=f"alice-{number}")
            others = [staff(f"other-{number}-{each}", "Moderator").id for each in range(3)]
            run_at_once(
                *(
                    partial(try_to, partial(acts.assign, moderator, made, each, reason="why"))
                    for each in others
                    if each
                ),
                partial(delete_user, User(pk=others[0])),
            )
            assert Report.objects.get(pk=made).assignee_id in {*others[1:], None}
        assert verify().faults == []

    def test_what_somebody_took_who_is_away_is_given_back_and_taken_by_another(
        self, moderator: Actor, bob: User
    ) -> None:
        made, other = reported(bob), staff("other")
        acts.take(moderator, made, reason="why")
        acts.release(other, made, reason="ill")
        assert Report.objects.get().assignee_id is None
        acts.take(other, made, reason="why")
        assert Report.objects.get().assignee_id == other.id

    def test_what_somebody_took_whose_account_is_gone_is_taken_by_another(
        self, moderator: Actor, bob: User
    ) -> None:
        made, other = reported(bob), staff("other")
        acts.take(moderator, made, reason="why")
        delete_user(User(pk=moderator.id))
        assert (state_of(made), Report.objects.get().assignee_id) == ("taken", None)
        acts.take(other, made, reason="why")
        assert Report.objects.get().assignee_id == other.id

    @pytest.mark.parametrize("actor", [OPERATOR, SYSTEM])
    def test_the_console_and_the_server_take_nothing_and_may_end_it(self, actor: Actor, bob: User) -> None:
        made = reported(bob)
        assert refusal(partial(acts.take, actor, made, reason="why")) is ErrorCode.FORBIDDEN
        acts.dismiss(actor, made, reason="why")
        assert AuditEntry.objects.get().actor_kind == actor.kind

    def test_of_several_who_take_it_at_once_one_does(self, bob: User) -> None:
        actors = [staff(f"moderator-{number}") for number in range(4)]
        for category in Report.Category:
            made = reported(bob, category=category)
            refused: list[ErrorCode] = []

            def take(actor: Actor, made: UUID = made, refused: list[ErrorCode] = refused) -> None:
                try:
                    acts.take(actor, made, reason="why")
                except ConstructError as error:
                    refused.append(error.code)

            run_at_once(*(partial(take, actor) for actor in actors))
            assert refused == [ErrorCode.FORBIDDEN] * 3
            entry = AuditEntry.objects.get(target=f"report {made}")
            assert Report.objects.get(pk=made).assignee_id == entry.actor_id


class TestSanctions:
    def test_a_resolved_case_has_the_suspension_that_came_of_it(self, moderator: Actor, bob: User) -> None:
        made = reported(bob)
        sanction = suspend_user(bob.pk, public_reason="", internal_reason="x", ends_at=None)
        acts.resolve(moderator, made, reason="why", suspension_id=sanction.pk)
        assert Report.objects.get().suspension_id == sanction.pk
        assert AuditEntry.objects.get().target == f"report {made}, suspension {sanction.pk}"
        acts.reopen(moderator, made, reason="why")
        assert (Report.objects.get().suspension_id, Report.objects.get().assignee_id) == (None, None)

    def test_that_of_somebody_else_is_refused(self, moderator: Actor, bob: User, alice: User) -> None:
        made = reported(bob, by="carol")
        sanction = suspend_user(alice.pk, public_reason="", internal_reason="x", ends_at=None)
        for each in (sanction.pk, uuid4()):
            act = partial(acts.resolve, moderator, made, reason="why", suspension_id=each)
            assert refusal(act) is ErrorCode.VALIDATION_FAILED

    def test_the_case_outlives_the_suspended_account(self, moderator: Actor, bob: User) -> None:
        made = reported(bob)
        sanction = suspend_user(bob.pk, public_reason="", internal_reason="x", ends_at=None)
        acts.resolve(moderator, made, reason="why", suspension_id=sanction.pk)
        delete_user(bob)
        left = Report.objects.get()
        assert (left.state, left.reported_id, left.suspension_id) == ("resolved", None, None)
        assert not Suspension.objects.exists()
        acts.reopen(moderator, made, reason="why")
        entry = AuditEntry.objects.order_by("number").last()
        assert entry is not None
        assert (entry.action, entry.user_id) == ("reopen_report", None)


class TestMerging:
    def test_what_happens_to_the_head_happens_to_all(self, moderator: Actor, bob: User) -> None:
        head, *repeats = [reported(bob, by=name) for name in ("alice", "carol", "dora")]
        for each in repeats:
            acts.merge(moderator, each, head, reason="the same")
        for act, state in ((acts.take, "taken"), (acts.resolve, "resolved"), (acts.reopen, "new")):
            act(moderator, head, reason="why")
            assert [(each.state, each.updated_at is None) for each in Report.objects.all()] == [
                (state, False)
            ] * 3
        assert Report.objects.filter(assignee=None).count() == 3

    def test_each_merge_is_one_entry(self, moderator: Actor, bob: User) -> None:
        head, repeat = reported(bob), reported(bob, by="carol")
        acts.merge(moderator, repeat, head, reason="the same")
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.user_id, entry.reason) == ("merge_reports", bob.pk, "the same")
        assert entry.target == f"report {repeat} into report {head}"
        assert refusal(partial(acts.merge, moderator, repeat, head, reason="")) is ErrorCode.VALIDATION_FAILED

    def test_a_case_brings_its_repeats_along(self, moderator: Actor, bob: User) -> None:
        first, second, third = [reported(bob, by=name) for name in ("alice", "carol", "dora")]
        acts.take(moderator, second, reason="why")
        acts.merge(moderator, third, second, reason="the same")
        acts.merge(moderator, second, first, reason="the same")
        assert Report.objects.filter(merged_into=first, state="new", assignee=None).count() == 2

    def test_a_later_one_has_the_outcome_of_an_ended_case(self, moderator: Actor, bob: User) -> None:
        head, later = reported(bob), reported(bob, by="carol")
        acts.resolve(moderator, head, reason="why")
        acts.merge(moderator, later, head, reason="the same")
        assert state_of(later) == "resolved"
        assert refusal(partial(acts.merge, moderator, head, later, reason="x")) is ErrorCode.FORBIDDEN

    def test_what_keeps_its_state_was_not_updated(self, moderator: Actor, bob: User) -> None:
        head, repeat = reported(bob), reported(bob, by="carol")
        acts.merge(moderator, repeat, head, reason="the same")
        assert Report.objects.get(pk=repeat).updated_at is None

    @pytest.mark.parametrize("word", ACTS)
    def test_a_repeat_is_not_acted_on(self, moderator: Actor, bob: User, word: str) -> None:
        act, state = ACTS[word]
        head, repeat = reported(bob, state=state), reported(bob, by="carol", state=state)
        Report.objects.filter(pk=repeat).update(merged_into=head)
        assert refusal(partial(act, moderator, repeat, reason="why")) is ErrorCode.FORBIDDEN

    def test_only_what_is_about_the_same_person_is_merged(
        self, moderator: Actor, bob: User, alice: User
    ) -> None:
        head, other = reported(bob, by="carol"), reported(alice, by="carol")
        for one, into in ((head, other), (head, head)):
            assert refusal(partial(acts.merge, moderator, one, into, reason="x")) is ErrorCode.FORBIDDEN
        assert refusal(partial(acts.merge, moderator, head, uuid4(), reason="x")) is ErrorCode.NOT_FOUND

    def test_nor_what_is_about_people_who_are_gone(self, moderator: Actor, bob: User, alice: User) -> None:
        head, other = reported(bob, by="carol"), reported(alice, by="carol")
        delete_user(bob)
        delete_user(alice)
        assert refusal(partial(acts.merge, moderator, other, head, reason="x")) is ErrorCode.FORBIDDEN

    def test_what_another_has_taken_is_not_taken_away(self, moderator: Actor, bob: User) -> None:
        head, repeat = reported(bob), reported(bob, by="carol")
        acts.take(staff("other"), repeat, reason="why")
        assert refusal(partial(acts.merge, moderator, repeat, head, reason="x")) is ErrorCode.FORBIDDEN

    def test_merging_and_resolving_at_once_leave_one_state(self, moderator: Actor, bob: User) -> None:
        for category in Report.Category:
            head = reported(bob, category=category)
            repeats = [reported(bob, by=name, category=category) for name in ("carol", "dora")]
            run_at_once(
                *(partial(acts.merge, moderator, each, head, reason="the same") for each in repeats),
                partial(acts.resolve, moderator, head, reason="why"),
            )
            states = Report.objects.filter(category=category).values_list("state", flat=True)
            assert list(states) == ["resolved"] * 3
        assert verify().faults == []


def try_to(act: Callable[[], object]) -> None:
    """Or find that somebody else did something else before."""
    try:
        act()
    except ConstructError as error:
        assert error.code in (ErrorCode.FORBIDDEN, ErrorCode.VALIDATION_FAILED)  # noqa: PT017 - either may be


class TestDeletionMeanwhile:
    """People of a case are deleted at the moment of an act: neither waits for the other for ever."""

    def test_of_the_reporter_and_of_the_assignee(self, bob: User) -> None:
        for number in range(8):
            head, repeat = [reported(bob, by=f"{name}-{number}") for name in ("alice", "carol")]
            Report.objects.filter(pk=repeat).update(merged_into=head)
            actors = [staff(f"moderator-{number}"), staff(f"leaving-{number}")]
            going = User.objects.filter(username__in=[f"alice-{number}", f"leaving-{number}"])
            run_at_once(
                *(partial(delete_user, user) for user in going),
                *(partial(try_to, partial(acts.take, actor, head, reason="why")) for actor in actors),
            )
        assert Report.objects.filter(reporter=None).count() == 8
        assert not User.objects.filter(username__startswith="leaving").exists()
        assert verify().faults == []

    def test_of_the_reporter_while_cases_are_merged(self, moderator: Actor, bob: User) -> None:
        for number in range(8):
            head, repeat = [reported(bob, by=f"{name}-{number}") for name in ("alice", "carol")]
            acts.dismiss(moderator, head, reason="why")
            reporters = User.objects.filter(username__in=[f"alice-{number}", f"carol-{number}"])
            run_at_once(
                *(partial(delete_user, user) for user in reporters),
                partial(acts.merge, moderator, repeat, head, reason="why"),
            )
        assert Report.objects.filter(reporter=None, state="dismissed").count() == 16

    def test_of_both_when_there_was_a_suspension(self, moderator: Actor) -> None:
        for number in range(8):
            subject = User.objects.create_user(f"bob-{number}")
            made = reported(subject, by=f"alice-{number}")
            sanction = suspend_user(subject.pk, public_reason="", internal_reason="x", ends_at=None)
            acts.resolve(moderator, made, reason="why", suspension_id=sanction.pk)
            reporter = User.objects.get(username=f"alice-{number}")
            run_at_once(
                partial(delete_user, subject),
                partial(delete_user, reporter),
                partial(acts.reopen, moderator, made, reason="why"),
            )
        assert Report.objects.filter(reporter=None, reported=None, state="new").count() == 8


def test_a_note_is_replaced_and_needs_no_reason(moderator: Actor, bob: User) -> None:
    made = reported(bob)
    for note in ("Look again.", ""):
        acts.write_note(moderator, made, f" {note}\n")
        assert Report.objects.get().note == note
    assert Report.objects.get().updated_at is None
    too_long = partial(acts.write_note, moderator, made, "x" * 2001)
    assert refusal(too_long) is ErrorCode.VALIDATION_FAILED
