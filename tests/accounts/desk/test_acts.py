"""What staff do to accounts: it happens, it is in the audit, and who may not do it changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.audit.chain import OPERATOR, SYSTEM, Actor
from accounts.audit.models import AuditDetails, AuditEntry
from accounts.audit.verification import verify
from accounts.desk import acts
from accounts.desk.lists import MANY
from accounts.models import USERNAME, Session, User
from accounts.services import list_sessions, open_session
from construct_site.errors import ConstructError, ErrorCode
from tests.accounts.conftest import HOME

pytestmark = pytest.mark.django_db(transaction=True)
Act = Callable[[Actor, UUID], object]

ACTS: dict[str, Act] = {
    "suspend": partial(acts.suspend, reason="why"),
    "lift_suspension": partial(acts.lift_suspension, reason="why"),
    "revoke_sessions": partial(acts.revoke_sessions, reason="why"),
    "require_password_reset": partial(acts.require_password_reset, reason="why"),
    "rename": partial(acts.rename, username="carol", reason="why"),
    "hide_from_search": partial(acts.hide_from_search, reason="why"),
    "show_in_search": partial(acts.show_in_search, reason="why"),
    "set_limits": partial(acts.set_limits, messages_per_hour=50, reason="why"),
    "approve": partial(acts.approve, reason="why"),
    "refuse": partial(acts.refuse, reason="why"),
    "delete_user": partial(acts.delete, reason="why"),
}
"""By the word of the audit."""
ON_ONESELF = {"revoke_sessions", "hide_from_search", "show_in_search"}


@pytest.fixture
def moderator() -> Actor:
    return Actor.staff(User.objects.create_user("moderator", is_staff=True).pk)


@pytest.fixture
def subject() -> User:
    """Suspended and waiting for approval, so that every act has something to do."""
    return User.objects.create_user("alice", is_active=False, is_approved=False)


@pytest.mark.parametrize("word", ACTS)
def test_each_act_is_one_entry(moderator: Actor, subject: User, word: str) -> None:
    ACTS[word](moderator, subject.pk)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_kind, entry.actor_id) == (word, "staff", moderator.id)
    assert (entry.user_id, entry.reason) == (subject.pk, "why")
    assert verify().faults == []


@pytest.mark.parametrize("actor", [OPERATOR, SYSTEM])
def test_the_console_and_the_server_act_under_their_own_names(actor: Actor, subject: User) -> None:
    acts.suspend(actor, subject.pk, reason="why")
    assert AuditEntry.objects.get().actor_kind == actor.kind


@pytest.mark.parametrize("word", ACTS)
@pytest.mark.parametrize("reason", ["", " \n", "x" * 501, "a\0b"])
def test_without_a_good_reason_nothing_happens(
    moderator: Actor, subject: User, word: str, reason: str
) -> None:
    before = User.objects.values().get(pk=subject.pk)
    act = ACTS[word]
    assert isinstance(act, partial)
    with pytest.raises(ConstructError) as refused:
        act(moderator, subject.pk, reason=reason)
    assert list(refused.value.fields or {}) == ["reason"]
    assert User.objects.values().get(pk=subject.pk) == before
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("word", ACTS)
def test_a_superuser_is_left_alone_by_other_staff(moderator: Actor, word: str) -> None:
    root = User.objects.create_superuser("root", is_approved=False)
    before = User.objects.values().get(pk=root.pk)
    with pytest.raises(ConstructError) as refused:
        ACTS[word](moderator, root.pk)
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert User.objects.values().get(pk=root.pk) == before
    assert not AuditEntry.objects.exists()
    other = Actor.staff(User.objects.create_superuser("other").pk)
    ACTS[word](other, root.pk)


@pytest.mark.parametrize("word", ACTS)
def test_other_staff_are_for_superusers(moderator: Actor, word: str) -> None:
    operator = User.objects.create_user("operator", is_staff=True, is_active=False, is_approved=False)
    with pytest.raises(ConstructError) as refused:
        ACTS[word](moderator, operator.pk)
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert not AuditEntry.objects.exists()
    ACTS[word](Actor.staff(User.objects.create_superuser("root").pk), operator.pk)
    assert AuditEntry.objects.get().action == word


@pytest.mark.parametrize("word", ACTS)
def test_nobody_judges_themselves(word: str) -> None:
    root = User.objects.create_superuser("root", is_approved=False)
    act = partial(ACTS[word], Actor.staff(root.pk), root.pk)
    if word in ON_ONESELF:
        act()
        return
    with pytest.raises(ConstructError) as refused:
        act()
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert User.objects.get().is_active


@pytest.mark.parametrize("changes", [{"is_staff": False}, {"is_active": False}])
def test_who_is_no_longer_of_the_staff_does_nothing(
    moderator: Actor, subject: User, changes: dict[str, bool]
) -> None:
    User.objects.filter(username="moderator").update(**changes)
    with pytest.raises(ConstructError) as refused:
        acts.delete(moderator, subject.pk, reason="why")
    assert refused.value.code is ErrorCode.FORBIDDEN
    assert User.objects.filter(pk=subject.pk).exists()


@pytest.mark.parametrize("word", ACTS)
def test_to_nobody_nothing_is_done(moderator: Actor, word: str) -> None:
    with pytest.raises(ConstructError) as refused:
        ACTS[word](moderator, uuid4())
    assert refused.value.code is ErrorCode.USER_NOT_FOUND
    assert not AuditEntry.objects.exists()


def test_what_changes_nothing_is_no_entry(moderator: Actor, alice: User) -> None:
    assert not acts.lift_suspension(moderator, alice.pk, reason="why")
    assert not acts.approve(moderator, alice.pk, reason="why")
    assert not acts.set_limits(moderator, alice.pk, None, reason="why")
    with pytest.raises(ConstructError):
        acts.refuse(moderator, alice.pk, reason="why")
    with pytest.raises(ConstructError):
        acts.rename(moderator, alice.pk, "moderator", reason="why")
    acts.rename(moderator, alice.pk, "Alice", reason="why")
    assert not AuditEntry.objects.exists()
    assert User.objects.filter(pk=alice.pk).exists()
    acts.rename(moderator, alice.pk, "ALICE", reason="why")
    assert AuditDetails.objects.get().changes == {"username": ["Alice", "ALICE"]}


def test_a_new_name_lies_beside_its_entry_and_goes_with_the_account(moderator: Actor, alice: User) -> None:
    acts.rename(moderator, alice.pk, "Carol", reason="offensive")
    assert AuditDetails.objects.get().changes == {"username": ["Alice", "Carol"]}
    acts.delete(moderator, alice.pk, reason="again")
    assert not AuditDetails.objects.exists()
    assert [entry.action for entry in AuditEntry.objects.order_by("number")] == ["rename", "delete_user"]
    assert verify().faults == []


def test_a_neutral_name_takes_the_place_of_both_names(moderator: Actor, alice: User) -> None:
    shown = alice.display_name
    acts.give_neutral_name(moderator, alice.pk, reason="offensive")
    alice.refresh_from_db()
    name = alice.username
    assert re.fullmatch(r"user_[0-9a-f]{16}", name)
    assert re.fullmatch(USERNAME, name)
    assert (alice.username_folded, alice.display_name, alice.display_name_folded) == (name, name, name)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target) == ("rename", "")
    assert entry.details.changes == {"username": ["Alice", name], "display_name": [shown, name]}
    bob = User.objects.create_user("bob")
    with pytest.raises(ConstructError) as refused:
        acts.rename(moderator, bob.pk, "alice", reason="why")
    assert refused.value.code is ErrorCode.USERNAME_TAKEN, "the former name rests"


def test_a_neutral_name_that_is_taken_changes_nothing(
    moderator: Actor, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_user("user_00")
    monkeypatch.setattr("accounts.desk.acts.secrets.token_hex", lambda _bytes: "00")
    with pytest.raises(ConstructError) as refused:
        acts.give_neutral_name(moderator, alice.pk, reason="offensive")
    assert refused.value.code is ErrorCode.USERNAME_TAKEN
    assert User.objects.values().get(pk=alice.pk)["username"] == "Alice"
    assert not AuditEntry.objects.exists()


def test_chosen_sessions_end_and_the_others_stay(moderator: Actor, alice: User) -> None:
    first, second = (open_session(alice, HOME) for _ in range(2))
    acts.revoke_sessions(moderator, alice.pk, reason="why", session_ids=[first.session_id])
    assert [session.id for session in list_sessions(alice.pk)] == [second.session_id]
    assert AuditEntry.objects.get().target == f"1 sessions: {first.session_id}"
    assert Session.objects.count() == 2


def test_many_chosen_sessions_are_named_as_far_as_there_is_room(moderator: Actor, alice: User) -> None:
    chosen = [open_session(alice, HOME).session_id for _ in range(MANY)]
    assert acts.revoke_sessions(moderator, alice.pk, reason="why", session_ids=iter(chosen)) == MANY
    named = ", ".join(str(each) for each in chosen[:4])
    assert AuditEntry.objects.get().target == f"100 sessions: {named} and 96 more"
    acts.revoke_sessions(moderator, alice.pk, reason="why")
    assert AuditEntry.objects.latest("number").target == "0 sessions"


def test_chosen_sessions_that_have_ended_are_no_entry(moderator: Actor, alice: User) -> None:
    session_id = open_session(alice, HOME).session_id
    for _ in range(2):
        acts.revoke_sessions(moderator, alice.pk, reason="why", session_ids=[session_id])
    assert AuditEntry.objects.count() == 1


def test_a_suspension_is_named_with_its_end(moderator: Actor, alice: User) -> None:
    ends_at = timezone.now() + timedelta(days=3)
    for end, told in ((None, ""), (ends_at, f", until {ends_at:%Y-%m-%d %H:%M} UTC")):
        suspension = acts.suspend(moderator, alice.pk, reason="why", ends_at=end)
        entry = AuditEntry.objects.latest("number")
        assert entry.target == f"suspension {suspension.pk}{told}"


def test_public_reasons_lie_beside_their_entries_and_go_with_the_account(
    moderator: Actor, alice: User
) -> None:
    for public_reason in ("", "Spam.", "Fraud.", ""):
        acts.suspend(moderator, alice.pk, reason="why", public_reason=public_reason)
    acts.lift_suspension(moderator, alice.pk, reason="why")
    acts.suspend(moderator, alice.pk, reason="why", public_reason="Again.")
    told = [details.changes["public_reason"] for details in AuditDetails.objects.order_by("entry")]
    assert told == [["", "Spam."], ["Spam.", "Fraud."], ["Fraud.", ""], [None, "Again."]]
    assert verify().faults == []
    AuditDetails.objects.filter(entry=3).update(changes={"public_reason": ["Spam.", "Another."]})
    assert [fault.number for fault in verify().faults] == [3]
    acts.delete(moderator, alice.pk, reason="why")
    assert not AuditDetails.objects.exists()
    assert verify().faults == []


def test_the_audit_tells_the_former_limit_and_the_new_one(moderator: Actor, alice: User) -> None:
    for limit in (50, 0, None):
        assert acts.set_limits(moderator, alice.pk, limit, reason="why")
        assert User.objects.get(pk=alice.pk).messages_per_hour == limit
    assert [entry.target for entry in AuditEntry.objects.order_by("number")] == [
        "messages per hour: default to 50",
        "messages per hour: 50 to 0",
        "messages per hour: 0 to default",
    ]
    assert verify().faults == []


@pytest.mark.parametrize("limit", [-1, 1_000_001])
def test_a_limit_that_is_none_is_refused(moderator: Actor, alice: User, limit: int) -> None:
    with pytest.raises(ConstructError) as refused:
        acts.set_limits(moderator, alice.pk, limit, reason="why")
    assert list(refused.value.fields or {}) == ["messagesPerHour"]
    assert User.objects.get(pk=alice.pk).messages_per_hour is None
    assert not AuditEntry.objects.exists()
