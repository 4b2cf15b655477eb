"""Acts at the same moment: one waits for the other and sees what it did, and none ends in an error of the database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts import services
from accounts.audit.chain import Actor
from accounts.audit.models import AuditEntry
from accounts.audit.verification import verify
from accounts.desk import acts
from accounts.models import Session, StaffNote, Suspension, User
from accounts.services import Credentials, open_session
from construct_site.errors import ConstructError, ErrorCode
from messaging.desk import clear_mailbox
from tests.accounts.conftest import HOME
from tests.accounts.desk.test_acts import ACTS
from tests.messaging.mailbox.conftest import until_someone_waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)
Act = Callable[[Actor, UUID], object]
FURTHER_ACTS: dict[str, Act] = {
    "a neutral name": partial(acts.give_neutral_name, reason="why"),
    "a profile": partial(acts.edit_profile, changes={"bio": "x"}, reason="why"),
    "a note": partial(acts.add_note, text="x"),
    "a second factor": partial(acts.remove_second_factor, reason="why"),
    "a reset code": partial(acts.make_reset_code, reason="why"),
    "a required reset": partial(acts.make_reset_code, reason="why", is_required=True),
    "a password": lambda actor, user_id: acts.change_password(
        actor, _credentials(user_id), "argon2$other", reason="why"
    ),
    "the mailbox": partial(clear_mailbox, reason="why"),
}
REMOVALS: dict[str, Act] = {
    "the staff's": partial(acts.delete, reason="why"),
    "the owner's": lambda _actor, user_id: services.delete_user(User(pk=user_id)),
}


def _credentials(user_id: UUID) -> Credentials:
    user = User.objects.get(pk=user_id)
    return Credentials(user.pk, user.password, user.is_active)


def done_while(first: Callable[[], object], second: Callable[[], object]) -> object:
    """What `second` returns or raises, which begins once `first` is done and before that is committed."""

    def work() -> object:
        try:
            return second()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            done = pool.submit(work)
            until_someone_waits_for_a_lock()
        return done.result()


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def actor(root: User) -> Actor:
    return Actor.staff(root.pk)


@pytest.fixture
def role() -> Group:
    return Group.objects.create(name="Helpers")


@pytest.fixture
def browser(root: User) -> Client:
    client = Client()
    client.force_login(root)
    return client


def check_refused(answer: object, sentence: str) -> None:
    """On SQLite the page begins when the deletion has ended: Django looks the row up and finds none."""
    assert isinstance(answer, HttpResponse)
    if connection.vendor != "postgresql":
        assert answer.status_code < 500
        return
    assert answer.status_code == 302
    assert [str(each) for each in get_messages(answer.wsgi_request)] == [sentence]  # type: ignore[attr-defined]


def give_rights(browser: Client, user: User, role: Group) -> object:
    page = reverse("admin:accounts_user_change", args=[user.pk])
    return browser.post(page, {"groups": [role.pk], "reason": "joins"})


def change_role(browser: Client, role: Group) -> object:
    page = reverse("admin:auth_group_change", args=[role.pk])
    return browser.post(page, {"name": "Others", "reason": "why"})


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_deletion_waits_for_a_note_and_takes_it_along(actor: Actor, alice: User, removal: str) -> None:
    done_while(partial(acts.add_note, actor, alice.pk, "x"), partial(REMOVALS[removal], actor, alice.pk))
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not StaffNote.objects.exists()
    assert verify().faults == []


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("word", [word for word in [*ACTS, *FURTHER_ACTS] if word != "a password"])
def test_to_who_is_deleted_meanwhile_nothing_is_done(
    actor: Actor, alice: User, word: str, removal: str
) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False, is_approved=False)
    act = {**ACTS, **FURTHER_ACTS}[word]
    with pytest.raises(ConstructError) as refused:
        done_while(partial(REMOVALS[removal], actor, alice.pk), partial(act, actor, alice.pk))
    assert refused.value.code is ErrorCode.USER_NOT_FOUND
    assert [each.action for each in AuditEntry.objects.all()] == ["delete_user"] * (removal == "the staff's")


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_deletion_waits_for_the_page_of_rights(
    actor: Actor, browser: Client, alice: User, role: Group, removal: str
) -> None:
    done_while(partial(give_rights, browser, alice, role), partial(REMOVALS[removal], actor, alice.pk))
    assert not User.objects.filter(pk=alice.pk).exists()
    assert AuditEntry.objects.earliest("number").action == "change_rights"
    assert verify().faults == []


@pytest.mark.parametrize("removal", REMOVALS)
def test_the_page_of_rights_refuses_who_is_deleted_meanwhile(
    actor: Actor, browser: Client, alice: User, role: Group, removal: str
) -> None:
    answer = done_while(
        partial(REMOVALS[removal], actor, alice.pk), partial(give_rights, browser, alice, role)
    )
    check_refused(answer, "There is no such user.")
    assert not AuditEntry.objects.filter(action="change_rights").exists()


def test_the_deletion_of_a_role_waits_for_who_is_given_it(
    actor: Actor, browser: Client, alice: User, role: Group
) -> None:
    done_while(
        partial(give_rights, browser, alice, role), partial(acts.delete_role, actor, role, reason="why")
    )
    assert not alice.groups.exists()
    assert [each.action for each in AuditEntry.objects.order_by("number")] == ["change_rights", "change_role"]


def test_the_page_of_rights_refuses_a_role_that_is_deleted_meanwhile(
    actor: Actor, browser: Client, alice: User, role: Group
) -> None:
    answer = done_while(
        lambda: acts.delete_role(actor, Group.objects.get(pk=role.pk), reason="why"),
        partial(give_rights, browser, alice, role),
    )
    check_refused(answer, "This role is gone.")
    assert [each.action for each in AuditEntry.objects.all()] == ["change_role"]


def test_a_role_that_is_deleted_meanwhile_is_neither_changed_nor_made_again(
    actor: Actor, browser: Client, role: Group
) -> None:
    answer = done_while(
        lambda: acts.delete_role(actor, Group.objects.get(pk=role.pk), reason="why"),
        partial(change_role, browser, role),
    )
    check_refused(answer, "This role is gone.")
    assert not Group.objects.filter(pk=role.pk).exists()
    assert AuditEntry.objects.count() == 1


def test_a_role_is_deleted_once(actor: Actor, browser: Client, role: Group) -> None:
    page = reverse("admin:auth_group_delete", args=[role.pk])
    answer = done_while(
        lambda: acts.delete_role(actor, Group.objects.get(pk=role.pk), reason="why"),
        partial(browser.post, page, {"reason": "why"}),
    )
    check_refused(answer, "This role is gone.")
    assert AuditEntry.objects.count() == 1


def test_the_deletion_of_a_role_waits_for_its_change(actor: Actor, browser: Client, role: Group) -> None:
    done_while(partial(change_role, browser, role), partial(acts.delete_role, actor, role, reason="why"))
    assert not Group.objects.filter(pk=role.pk).exists()
    assert AuditEntry.objects.count() == 2


@pytest.mark.parametrize("word", [*ACTS, *FURTHER_ACTS])
def test_who_becomes_a_superuser_meanwhile_is_left_alone(alice: User, word: str) -> None:
    moderator = Actor.staff(User.objects.create_user("moderator", is_staff=True).pk)
    User.objects.filter(pk=alice.pk).update(is_active=False, is_approved=False)
    open_session(alice, HOME)
    act = {**ACTS, **FURTHER_ACTS}[word]
    with pytest.raises(ConstructError) as refused:
        done_while(
            lambda: User.objects.filter(pk=alice.pk).update(is_superuser=True),
            partial(act, moderator, alice.pk),
        )
    assert (refused.value.code, refused.value.text) == (
        ErrorCode.FORBIDDEN,
        "Only superusers act on accounts of the staff.",
    )
    assert Session.objects.get().revoked_at is None
    kept = User.objects.get(pk=alice.pk)
    assert kept.password == alice.password
    assert (kept.username, kept.is_active, kept.is_approved, kept.is_hidden) == ("Alice", False, False, False)
    assert not kept.must_reset_password
    assert not Suspension.objects.exists()
    assert not AuditEntry.objects.exists()
