"""Accounts and sessions in the admin, as a browser sees them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.audit.models import AuditEntry
from accounts.desk.permissions import MODERATOR, ROLES, write_roles
from accounts.desk.registry import ACTS
from accounts.models import Invite, Session, StaffNote, Suspension, User
from accounts.services import (
    Grant,
    check_invite,
    delete_user,
    live_sessions,
    make_invite,
    open_session,
    require_password_reset,
)
from construct_site.events import AccountApproved, AccountSuspended, Event, SessionsEnded
from tests.accounts.conftest import HOME, PASSWORD

pytestmark = pytest.mark.django_db
USERS = reverse("admin:accounts_user_changelist")
INVITES = reverse("admin:accounts_invite_changelist")
SESSIONS = reverse("admin:accounts_session_changelist")


def page_of(row: User | Session, page: str = "change") -> str:
    return reverse(f"admin:accounts_{row._meta.model_name}_{page}", args=[row.pk])


@pytest.fixture
def root(client: Client) -> Client:
    """A browser of a superuser."""
    client.force_login(User.objects.create_superuser("root", PASSWORD))
    return client


@pytest.fixture
def moderator(client: Client) -> Client:
    """A browser of staff of the role."""
    write_roles(apps)
    user = User.objects.create_user("moderator", PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name=MODERATOR))
    client.force_login(user)
    return client


@pytest.fixture
def grant(alice: User) -> Grant:
    return open_session(alice, HOME)


def act_page(name: str, *users: User) -> str:
    return f"{reverse('admin:user_act', args=[name])}?ids={','.join(str(user.pk) for user in users)}"


def events(callbacks: list[Any]) -> list[Event]:
    """What services will tell once the request commits."""
    return [callback.args[0] for callback in callbacks]


def secrets_of(user: User, session: Session, token: str) -> list[str]:
    digests = [bytes(session.token_digest), bytes(session.address_digest)]
    return [
        user.password,
        "argon2",
        token,
        HOME.address,
        *[form(d) for d in digests for form in (repr, bytes.hex)],
    ]


def test_staff_who_must_reset_their_password_are_let_in_no_more(root: Client) -> None:
    assert root.get(USERS).status_code == 200
    require_password_reset(User.objects.get().pk)
    assert root.get(USERS)["location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize("page", ["users", "user", "sessions", "session", "suspend"])
def test_no_page_shows_a_secret(root: Client, alice: User, grant: Grant, page: str) -> None:
    session = Session.objects.get()
    address = {
        "users": USERS,
        "user": page_of(alice),
        "sessions": SESSIONS,
        "session": page_of(session),
        "suspend": act_page("suspend", alice),
    }[page]
    answer = root.get(address)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "Alice" in text
    assert not [secret for secret in secrets_of(alice, session, grant.token) if secret in text]


@pytest.mark.parametrize("staff_addresses", [True, False])
@pytest.mark.parametrize("session_addresses", [True, False])
def test_the_page_of_a_session_shows_its_address_where_a_setting_allows_it(
    moderator: Client, grant: Grant, settings: Settings, staff_addresses: bool, session_addresses: bool
) -> None:
    settings.CONSTRUCT = replace(
        settings.CONSTRUCT, staff_addresses=staff_addresses, session_addresses=session_addresses
    )
    page = moderator.get(page_of(Session.objects.get(pk=grant.session_id))).content.decode()
    assert ("Address" in page) is staff_addresses
    assert (HOME.address in page) is (staff_addresses and session_addresses)
    assert HOME.address not in moderator.get(SESSIONS).content.decode()


@pytest.mark.parametrize("page", ["x", "0", "-1", "2", "1.5", "", "9" * 400])
def test_a_page_of_the_search_that_there_is_not_is_not_found(root: Client, page: str) -> None:
    search = reverse("admin:search")
    assert "Users" in root.get(search, {"s": "use", "page": "1"}).content.decode()
    assert root.get(search, {"s": "use", "page": page}).status_code == 404


def test_nobody_is_added_here(root: Client) -> None:
    assert root.get(reverse("admin:accounts_user_add")).status_code == 403
    assert root.get(reverse("admin:accounts_session_add")).status_code == 403


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("ALI", True),
        ("alice", True),
        (" alice ", True),
        ("ALICE LID", True),
        ("LIDDELL", False),
        ("bob", False),
        ("%", False),
    ],
)
def test_users_are_found_by_the_beginning_of_a_name_ignoring_case(
    root: Client, alice: User, query: str, is_found: bool
) -> None:
    assert (page_of(alice) in root.get(USERS, {"q": query}).content.decode()) is is_found


def test_users_and_sessions_are_found_by_id(root: Client, alice: User, grant: Grant) -> None:
    assert page_of(alice) in root.get(USERS, {"q": str(alice.pk)}).content.decode()
    assert page_of(alice) not in root.get(USERS, {"q": str(uuid4())}).content.decode()
    for query in (str(alice.pk), "ALICE"):
        assert str(grant.session_id) in root.get(SESSIONS, {"q": query}).content.decode()
    assert str(grant.session_id) not in root.get(SESSIONS, {"q": str(uuid4())}).content.decode()


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        ("suspended", {"is_active": False}),
        ("pending", {"is_approved": False}),
        ("hidden", {"is_hidden": True}),
        ("reset", {"must_reset_password": True}),
        ("staff", {"is_staff": True}),
    ],
)
def test_users_are_filtered_by_state(root: Client, alice: User, state: str, changes: dict[str, bool]) -> None:
    bob = User.objects.create_user("bob")
    User.objects.filter(pk=bob.pk).update(**changes)
    page = root.get(USERS, {"state": state}).content.decode()
    assert page_of(bob) in page
    assert page_of(alice) not in page


class TestActs:
    def test_the_page_of_a_user_offers_what_the_role_may_do(self, moderator: Client, alice: User) -> None:
        page = moderator.get(page_of(alice)).content.decode()
        for act in ACTS.values():
            is_offered = act.permission in ROLES[MODERATOR] and act.suits(alice)
            assert (act_page(act.name, alice) in page) is is_offered, act.name
        for title in ("Suspensions", "Notes", "Sessions", "Keys", "Mailbox", "What staff did"):
            assert title in page

    def test_what_has_nothing_to_do_is_not_offered(self, moderator: Client, alice: User) -> None:
        def offered() -> set[str]:
            page = moderator.get(page_of(alice)).content.decode()
            return {name for name in ACTS if act_page(name, alice) in page}

        before = offered()
        assert not before & {"lift-suspension", "show", "approve", "refuse"}
        User.objects.filter(pk=alice.pk).update(is_active=False, is_approved=False, is_hidden=True)
        assert offered() == before - {"hide"} | {"lift-suspension", "show", "approve", "refuse"}

    @pytest.mark.parametrize("name", ACTS)
    def test_each_asks_before_it_does_anything(self, root: Client, alice: User, name: str) -> None:
        before = User.objects.values().get(pk=alice.pk)
        page = root.get(act_page(name, alice))
        assert page.status_code == 200
        assert ACTS[name].explanation in unescape(page.content.decode())
        assert root.post(act_page(name, alice), {}).status_code == 200
        assert User.objects.values().get(pk=alice.pk) == before
        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize("name", ACTS)
    def test_nobody_without_the_permission_does_any(self, client: Client, alice: User, name: str) -> None:
        client.force_login(User.objects.create_user("novice", PASSWORD, is_staff=True))
        assert client.get(act_page(name, alice)).status_code == 403
        assert client.post(act_page(name, alice), {"reason": "why"}).status_code == 403
        assert not AuditEntry.objects.exists()

    def test_a_suspension_ends_the_sockets_and_is_on_the_page(
        self,
        moderator: Client,
        alice: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        form = {"days": "7", "public_reason": "Spam.", "reason": "ticket 7"}
        with django_capture_on_commit_callbacks() as callbacks:
            answer = moderator.post(act_page("suspend", alice), form)
        assert answer["location"] == page_of(alice)
        [event] = events(callbacks)
        assert isinstance(event, AccountSuspended)
        suspension = Suspension.objects.get()
        assert suspension.ends_at is not None
        assert timedelta(days=6, hours=23) < suspension.ends_at - timezone.now() <= timedelta(days=7)
        page = moderator.get(page_of(alice)).content.decode()
        for text in ("Suspend: done for 1 of 1.", "Spam.", "ticket 7", "moderator"):
            assert text in page
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.user_id, entry.reason) == ("suspend", alice.pk, "ticket 7")

    @pytest.mark.parametrize("count", [1, 3])
    def test_a_suspension_ends_at_the_minute_that_was_given(
        self, moderator: Client, alice: User, count: int
    ) -> None:
        users = [alice, *(User.objects.create_user(f"user{each}") for each in range(count - 1))]
        page = moderator.get(act_page("suspend", *users)).content.decode()
        assert re.search(r'<input type="datetime-local" name="ends_at"', page)
        end = (timezone.now() + timedelta(days=400)).replace(second=0, microsecond=0)
        form = {"days": "7", "ends_at": f"{end:%Y-%m-%dT%H:%M}", "reason": "why"}
        moderator.post(act_page("suspend", *users), form)
        assert [each.ends_at for each in Suspension.objects.all()] == [end] * count
        told = {entry.target.partition(", ")[2] for entry in AuditEntry.objects.all()}
        assert told == {f"until {end:%Y-%m-%d %H:%M} UTC"}

    @pytest.mark.parametrize(
        ("ends_at", "refusal"),
        [
            ("2020-01-01T10:00", "This time is over already."),
            ("2020-01-01T10:00:00Z", "This time is over already."),
            ("9999-12-31T23:59", "This is more than 100 years away"),
            ("9999-12-31T23:59:59-12:00", "This is more than 100 years away"),
            ("0001-01-01T00:00:00+12:00", "This time is over already."),
            ("2030-02-31T10:00", "Give a date and a time in UTC, as 2030-01-31T18:00."),
            ("tomorrow", "Give a date and a time in UTC, as 2030-01-31T18:00."),
        ],
    )
    def test_an_end_that_cannot_be_is_refused_on_the_form(
        self, moderator: Client, alice: User, ends_at: str, refusal: str
    ) -> None:
        form = {"days": "7", "ends_at": ends_at, "public_reason": "Spam.", "reason": "why"}
        answer = moderator.post(act_page("suspend", alice), form)
        assert answer.status_code == 200
        page = unescape(answer.content.decode())
        assert refusal in page
        assert f'value="{ends_at}"' in page, "what was typed stays"
        assert not Suspension.objects.exists()

    def test_the_form_of_limits_shows_what_the_accounts_have_in_common(
        self, moderator: Client, alice: User
    ) -> None:
        bob = User.objects.create_user("bob")
        User.objects.update(messages_per_hour=50)
        for users in ([alice], [alice, bob]):
            assert 'value="50"' in moderator.get(act_page("set-limits", *users)).content.decode()
        User.objects.filter(pk=bob.pk).update(messages_per_hour=60)
        page = moderator.get(act_page("set-limits", alice, bob)).content.decode()
        assert not re.search(r'value="[56]0"', page)
        moderator.post(act_page("set-limits", alice, bob), {"messages_per_hour": "60", "reason": "why"})
        limits = User.objects.filter(pk__in=[alice.pk, bob.pk]).values_list("messages_per_hour", flat=True)
        assert list(limits) == [60, 60]
        assert [entry.user_id for entry in AuditEntry.objects.all()] == [alice.pk], "it was another"

    def test_several_get_neutral_names_at_once(self, moderator: Client, alice: User) -> None:
        bob = User.objects.create_user("bob")
        answer = moderator.post(
            USERS, {"action": "give-neutral-name", "_selected_action": [alice.pk, bob.pk]}
        )
        moderator.post(answer["location"], {"reason": "offensive"})
        names = set(User.objects.filter(pk__in=[alice.pk, bob.pk]).values_list("username", flat=True))
        assert len(names) == 2
        assert all(name.startswith("user_") for name in names)
        assert [entry.action for entry in AuditEntry.objects.all()] == ["rename", "rename"]

    def test_several_are_done_one_by_one_and_refusals_are_told(self, moderator: Client, alice: User) -> None:
        root = User.objects.create_superuser("root", PASSWORD)
        answer = moderator.post(act_page("suspend", alice, root), {"reason": "why"}, follow=True)
        page = unescape(answer.content.decode())
        assert "Suspend: done for 1 of 2." in page
        assert "root: Only superusers act on accounts of the staff." in page
        assert set(User.objects.filter(is_active=False)) == {alice}

    def test_selected_accounts_of_the_list_are_taken_to_the_page(
        self, moderator: Client, alice: User
    ) -> None:
        bob = User.objects.create_user("bob")
        selection = {"action": "suspend", "_selected_action": [alice.pk, bob.pk]}
        answer = moderator.post(USERS, selection)
        assert answer["location"] == act_page("suspend", alice, bob)
        assert moderator.get(answer["location"]).status_code == 200

    def test_the_way_back_from_several_leads_to_the_filtered_list(self, moderator: Client) -> None:
        waiting = [User.objects.create_user(name, is_approved=False) for name in ("bob", "carol", "dave")]
        selection = {"action": "approve", "_selected_action": [user.pk for user in waiting[:2]]}
        form = moderator.post(f"{USERS}?state=pending&q=", selection)["location"]
        answer = moderator.post(form, {"reason": "known"})
        assert answer["location"] == f"{USERS}?state=pending&q="
        assert "dave" in moderator.get(answer["location"]).content.decode()

    def test_what_is_refused_of_one_stays_on_the_form(self, moderator: Client, alice: User) -> None:
        User.objects.create_user("bob")
        for name, form, refusal in (
            ("rename", {"username": "Bob"}, "taken"),
            ("edit-profile", {"display_name": "Queen", "avatar_url": "javascript:1"}, "https://"),
            ("set-limits", {"messages_per_hour": "99999999999"}, "Give a number"),
        ):
            answer = moderator.post(act_page(name, alice), {**form, "reason": "a long story"})
            page = unescape(answer.content.decode())
            assert answer.status_code == 200, name
            assert refusal in page, name
            assert all(typed in page for typed in (*form.values(), "a long story")), name
        assert not AuditEntry.objects.exists()

    def test_what_changes_nothing_is_told_as_such(self, moderator: Client, alice: User) -> None:
        bob = User.objects.create_user("bob", is_active=False)
        page = moderator.post(act_page("lift-suspension", alice, bob), {"reason": "appeal"}, follow=True)
        assert "Lift the suspension: done for 1 of 2." in page.content.decode()
        assert "Lift the suspension: nothing to change for 1 of 2." in page.content.decode()

    def test_a_limit_is_on_the_page(self, moderator: Client, alice: User) -> None:
        User.objects.filter(pk=alice.pk).update(messages_per_hour=4321)
        assert "4321" in moderator.get(page_of(alice)).content.decode()

    @pytest.mark.parametrize("ids", ["", "x", ",", str(UUID(int=1))])
    def test_what_is_no_account_has_no_page(self, moderator: Client, ids: str) -> None:
        assert moderator.get(f"{reverse('admin:user_act', args=['suspend'])}?ids={ids}").status_code == 404

    def test_too_many_at_once_have_no_page(self, moderator: Client, alice: User) -> None:
        bob = User.objects.create_user("bob")
        assert moderator.get(act_page("rename", alice, bob)).status_code == 404
        assert moderator.get(act_page("suspend", *[alice] * 101)).status_code == 404
        assert moderator.get(act_page("nothing", alice)).status_code == 404

    def test_a_new_name_a_profile_and_a_note(self, moderator: Client, alice: User) -> None:
        for name, form in (
            ("rename", {"username": "Carol", "reason": "offensive"}),
            ("edit-profile", {"display_name": " QUEEN ", "bio": "", "avatar_url": "", "reason": "offensive"}),
            ("note", {"text": "Was warned.\n<b>Twice</b>"}),
        ):
            assert moderator.post(act_page(name, alice), form).status_code == 302, name
        alice.refresh_from_db()
        assert (alice.username, alice.display_name, alice.display_name_folded) == ("Carol", "QUEEN", "queen")
        page = moderator.get(page_of(alice)).content.decode()
        assert "Was warned." in page
        assert "<b>Twice</b>" not in page
        assert StaffNote.objects.get().author_id == User.objects.get(username="moderator").pk
        told = [entry.action for entry in AuditEntry.objects.order_by("number")]
        assert told == ["rename", "edit_profile", "add_note"]

    @pytest.mark.parametrize(
        ("name", "form"),
        [
            ("rename", {"username": "a b"}),
            ("rename", {"username": "moderator"}),
            ("edit-profile", {"display_name": "a\u202eb"}),
            ("edit-profile", {"display_name": "A", "avatar_url": "javascript:alert(1)"}),
        ],
    )
    def test_a_value_against_the_rules_is_refused(
        self, moderator: Client, alice: User, name: str, form: dict[str, str]
    ) -> None:
        answer = moderator.post(act_page(name, alice), {"reason": "why", **form}, follow=True)
        assert f"{ACTS[name].label}: done" not in answer.content.decode()
        assert User.objects.get(pk=alice.pk).username == "Alice"
        assert User.objects.get(pk=alice.pk).display_name == alice.display_name
        assert not AuditEntry.objects.exists()

    def test_a_deletion_ends_the_sockets_and_leads_to_the_list(
        self,
        moderator: Client,
        alice: User,
        grant: Grant,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        with django_capture_on_commit_callbacks() as callbacks:
            answer = moderator.post(act_page("delete", alice), {"reason": "why"})
        assert answer["location"] == USERS
        assert events(callbacks) == [SessionsEnded(alice.pk)]
        assert not User.objects.filter(pk=alice.pk).exists()
        assert not live_sessions([grant.session_id])

    def test_an_approval_is_heard_and_a_refusal_deletes(
        self,
        moderator: Client,
        alice: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        bob = User.objects.create_user("bob", is_approved=False)
        User.objects.filter(pk=alice.pk).update(is_approved=False)
        with django_capture_on_commit_callbacks() as callbacks:
            moderator.post(act_page("approve", alice), {"reason": "a person"})
        assert events(callbacks) == [AccountApproved(alice.pk)]
        moderator.post(act_page("refuse", bob, alice), {"reason": "bot"})
        assert User.objects.get(pk=alice.pk).is_approved
        assert not User.objects.filter(pk=bob.pk).exists()


class TestRights:
    def test_a_superuser_gives_them_and_says_why(self, root: Client, alice: User) -> None:
        permission = Permission.objects.get(codename="view_prekeybundle")
        form = {"is_staff": "on", "user_permissions": [permission.pk], "reason": "joins the team"}
        assert root.post(page_of(alice), form).status_code == 302
        alice.refresh_from_db()
        assert alice.is_staff
        assert list(alice.user_permissions.all()) == [permission]
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.user_id, entry.reason) == ("change_rights", alice.pk, "joins the team")
        assert entry.details.changes == {
            "is_staff": [False, True],
            "user_permissions": [[], ["view_prekeybundle"]],
        }

    def test_without_a_reason_none_are_given(self, root: Client, alice: User) -> None:
        assert root.post(page_of(alice), {"is_staff": "on"}).status_code == 200
        assert not User.objects.get(pk=alice.pk).is_staff

    def test_nothing_else_is_edited_on_the_page(self, root: Client, alice: User) -> None:
        before = User.objects.values().get(pk=alice.pk)
        fields = ("username", "id", "password", "created_at", "display_name", "bio")
        form = dict.fromkeys(fields, "2020-01-01") | {"is_active": "", "is_hidden": "on", "reason": "why"}
        assert root.post(page_of(alice), form).status_code == 302
        assert User.objects.values().get(pk=alice.pk) == before
        page = root.get(page_of(alice)).content.decode()
        assert not [field for field in fields if f'name="{field}"' in page]
        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize("is_last", [True, False])
    def test_a_superuser_sees_their_own_and_changes_none_of_them(self, root: Client, is_last: bool) -> None:
        if not is_last:
            User.objects.create_superuser("other", PASSWORD)
        me = User.objects.get(username="root")
        before = User.objects.values().get(pk=me.pk)
        page = root.get(page_of(me)).content.decode()
        assert "Superuser status" in page
        fields = ("is_staff", "is_superuser", "groups", "user_permissions", "reason", "_save")
        assert not [name for name in fields if f'name="{name}"' in page]
        permission = Permission.objects.get(codename="view_prekeybundle")
        for form in ({}, {"is_staff": "on"}, {"is_superuser": "on", "user_permissions": [permission.pk]}):
            assert root.post(page_of(me), {**form, "reason": "why"}).status_code == 403
        assert User.objects.values().get(pk=me.pk) == before
        assert not me.user_permissions.exists()
        assert not AuditEntry.objects.exists()

    def test_a_moderator_gives_none(self, moderator: Client, alice: User) -> None:
        assert moderator.get(page_of(alice)).status_code == 200
        assert moderator.post(page_of(alice), {"is_staff": "on", "reason": "why"}).status_code == 403
        assert moderator.post(page_of(alice, "delete"), {"post": "yes"}).status_code == 403
        assert not User.objects.get(pk=alice.pk).is_staff


def test_the_list_of_sessions_is_filtered_by_state(root: Client, alice: User) -> None:
    live, revoked, expired = (open_session(alice, HOME).session_id for _ in range(3))
    Session.objects.filter(pk=revoked).update(revoked_at=timezone.now())
    Session.objects.filter(pk=expired).update(expires_at=timezone.now() - timedelta(seconds=1))

    def listed(state: str) -> set[object]:
        text = root.get(SESSIONS, {"state": state} if state else {}).content.decode()
        return {each for each in (live, revoked, expired) if str(each) in text}

    assert listed("live") == {live}
    assert listed("ended") == {revoked, expired}
    assert listed("") == {live, revoked, expired}


def test_selected_sessions_are_revoked_for_a_reason_and_their_sockets_end(
    moderator: Client,
    alice: User,
    grant: Grant,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    other = open_session(alice, HOME)
    selection = {"action": "revoke", "_selected_action": [grant.session_id]}
    for form in (selection, {**selection, "apply": "yes"}):
        assert 'name="reason"' in moderator.post(SESSIONS, form).content.decode()
    assert live_sessions([grant.session_id])
    with django_capture_on_commit_callbacks() as callbacks:
        answer = moderator.post(SESSIONS, {**selection, "apply": "yes", "reason": "stolen"}, follow=True)
    assert "Revoke sessions: done for 1 of 1." in answer.content.decode()
    assert events(callbacks) == [SessionsEnded(alice.pk, (grant.session_id,))]
    assert live_sessions([grant.session_id, other.session_id]).keys() == {other.session_id}
    assert AuditEntry.objects.get().reason == "stolen"


def test_who_may_only_look_cannot_revoke(client: Client, grant: Grant) -> None:
    user = User.objects.create_user("novice", PASSWORD, is_staff=True)
    user.user_permissions.add(
        Permission.objects.get(codename="view_session", content_type__app_label="accounts")
    )
    client.force_login(user)
    form = {"action": "revoke", "_selected_action": [grant.session_id], "apply": "yes", "reason": "why"}
    assert client.get(SESSIONS).status_code == 200
    client.post(SESSIONS, form)
    assert live_sessions([grant.session_id])


def test_a_session_is_neither_edited_nor_deleted(root: Client, grant: Grant) -> None:
    session = Session.objects.get()
    assert root.post(page_of(session), {"client_label": "x"}).status_code == 403
    assert root.post(page_of(session, "delete"), {"post": "yes"}).status_code == 403
    assert Session.objects.get().client_label == HOME.client_label


class TestInvites:
    def test_one_is_made_and_its_code_is_shown_once(self, moderator: Client) -> None:
        page = moderator.post(
            reverse("admin:accounts_invite_add"),
            {"uses": 2, "days": 3, "note": "the choir", "once": "a"},
        )
        [code] = re.findall(r"construct_invite_[\w-]+", page.content.decode())
        check_invite(code)
        invite = Invite.objects.get()
        assert (invite.uses_left, invite.note) == (2, "the choir")
        listed = moderator.get(INVITES).content.decode()
        assert "the choir" in listed
        assert not [secret for secret in (code, bytes(invite.digest).hex()) if secret in listed]
        assert AuditEntry.objects.get().action == "make_invite"

    def test_a_form_that_is_sent_again_makes_no_other(self, moderator: Client) -> None:
        address = reverse("admin:accounts_invite_add")
        forms = []
        for _ in range(2):
            page = moderator.get(address).content.decode()
            once = re.search(r'<input type="hidden" name="once" value="(\w{64})"', page)
            assert once
            forms.append({"uses": 1, "days": 1, "once": once[1]})
        assert "construct_invite_" in moderator.post(address, forms[0]).content.decode()
        answer = moderator.post(address, forms[0], follow=True).content.decode()
        assert "This form made an invite already: it made no other." in answer
        assert Invite.objects.count() == 1
        assert "construct_invite_" in moderator.post(address, forms[1]).content.decode()

    @pytest.mark.parametrize("form", [{}, {"uses": 0, "days": 1}, {"uses": 1, "days": 9999}, {"uses": "x"}])
    def test_what_cannot_be_is_refused(self, moderator: Client, form: dict[str, object]) -> None:
        assert moderator.post(reverse("admin:accounts_invite_add"), {"once": "a", **form}).status_code == 200
        assert not Invite.objects.exists()

    def test_they_are_ended_for_a_reason(self, moderator: Client) -> None:
        make_invite(2, timedelta(days=1), "for the choir")
        invite = Invite.objects.get()
        form = {"action": "end", "_selected_action": [invite.pk], "apply": "yes", "reason": "leaked"}
        assert "End invites: done for 1 of 1." in moderator.post(INVITES, form, follow=True).content.decode()
        invite.refresh_from_db()
        assert invite.expires_at <= timezone.now()
        assert AuditEntry.objects.get().reason == "leaked"


class TestAudit:
    PAGE = reverse("admin:audit_auditentry_changelist")

    @pytest.fixture(autouse=True)
    def _entries(self, moderator: Client, alice: User) -> None:
        moderator.post(act_page("rename", alice), {"username": "Carol", "reason": "offensive"})
        moderator.post(act_page("hide", alice), {"reason": "a bot"})

    def test_it_is_read_filtered_and_searched(self, moderator: Client, alice: User) -> None:
        page = moderator.get(self.PAGE).content.decode()
        assert "offensive" in page
        assert "a bot" in page
        assert "a bot" not in moderator.get(self.PAGE, {"act": "rename"}).content.decode()
        assert "a bot" in moderator.get(self.PAGE, {"q": str(alice.pk)}).content.decode()
        for query in (str(uuid4()), "offensive"):
            assert "a bot" not in moderator.get(self.PAGE, {"q": query}).content.decode()

    def test_changed_fields_are_on_the_entrys_page_until_the_account_goes(
        self, moderator: Client, alice: User
    ) -> None:
        address = reverse("admin:audit_auditentry_change", args=[1])
        assert "username: 'Alice' → 'Carol'" in unescape(moderator.get(address).content.decode())
        delete_user(alice)
        page = moderator.get(address).content.decode()
        assert "Carol" not in page
        assert "gone with the account" in page

    def test_nobody_changes_it(self, root: Client) -> None:
        address = reverse("admin:audit_auditentry_change", args=[1])
        assert root.post(address, {"reason": "x"}).status_code == 403
        assert (
            root.post(reverse("admin:audit_auditentry_delete", args=[1]), {"post": "yes"}).status_code == 403
        )
        assert AuditEntry.objects.get(number=1).reason == "offensive"
