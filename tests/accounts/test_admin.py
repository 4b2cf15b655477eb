"""Accounts and sessions in the admin, as a browser sees them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts.models import Invite, Session, User
from accounts.services import Grant, live_sessions, make_invite, open_session, require_password_reset
from construct_site.events import AccountApproved, Event, SessionsEnded
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
    """A browser of staff that may edit and delete users, and nothing more."""
    user = User.objects.create_user("moderator", PASSWORD, is_staff=True)
    names = ["view_user", "change_user", "delete_user", "add_user", "view_session"]
    permissions = Permission.objects.filter(codename__in=names, content_type__app_label="accounts")
    user.user_permissions.set(permissions)
    client.force_login(user)
    return client


@pytest.fixture
def grant(alice: User) -> Grant:
    return open_session(alice, HOME)


def form_of(user: User, **changes: Any) -> dict[str, Any]:
    """What the browser sends back; a switch that is off is not sent."""
    fields = {"display_name": user.display_name, "bio": user.bio, "avatar_url": user.avatar_url}
    switches = {"discoverable": user.discoverable, **changes}
    return fields | {name: value for name, value in switches.items() if value is not False}


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


@pytest.mark.parametrize("page", ["users", "user", "sessions", "session", "delete", "history"])
def test_no_page_shows_a_secret(root: Client, alice: User, grant: Grant, page: str) -> None:
    session = Session.objects.get()
    address = {
        "users": USERS,
        "user": page_of(alice),
        "sessions": SESSIONS,
        "session": page_of(session),
        "delete": page_of(alice, "delete"),
        "history": page_of(alice, "history"),
    }[page]
    answer = root.get(address)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "Alice" in text
    assert not [secret for secret in secrets_of(alice, session, grant.token) if secret in text]


def test_nobody_is_added_here(root: Client) -> None:
    assert root.get(reverse("admin:accounts_user_add")).status_code == 403
    assert root.get(reverse("admin:accounts_session_add")).status_code == 403


@pytest.mark.parametrize(
    ("query", "is_found"), [("ALICE", True), ("LIDDELL", True), ("bob", False), ("%", False)]
)
def test_users_are_searched_ignoring_case(root: Client, alice: User, query: str, is_found: bool) -> None:
    assert (page_of(alice) in root.get(USERS, {"q": query}).content.decode()) is is_found


def test_the_profile_is_edited_and_the_folded_columns_follow(
    root: Client, alice: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        root.post(page_of(alice), form_of(alice, display_name=" QUEEN ", discoverable=False))
    alice.refresh_from_db()
    assert (alice.display_name, alice.display_name_folded, alice.discoverable) == ("QUEEN", "queen", False)
    assert events(callbacks) == []


@pytest.mark.parametrize("field", ["username", "id", "password", "created_at", "last_seen_on"])
def test_what_is_not_editable_is_not_edited(root: Client, alice: User, field: str) -> None:
    before = User.objects.values().get(pk=alice.pk)
    answer = root.post(page_of(alice), form_of(alice, **{field: "2020-01-01"}))
    assert answer.status_code == 302
    assert User.objects.values().get(pk=alice.pk) == before
    assert f'name="{field}"' not in root.get(page_of(alice)).content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", "a\u202eb"),
        ("display_name", "\u200b"),
        ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "http://example.org/a.png"),
    ],
)
def test_a_value_against_the_rules_is_refused(root: Client, alice: User, field: str, value: str) -> None:
    answer = root.post(page_of(alice), form_of(alice, **{field: value}))
    assert answer.status_code == 200
    assert re.search(r'class="errorlist"', answer.content.decode())
    assert User.objects.get(pk=alice.pk).display_name == alice.display_name


def test_the_state_of_an_account_is_no_field_of_its_form(root: Client, alice: User, grant: Grant) -> None:
    states = {"is_active": False, "is_approved": False, "is_hidden": "on", "must_reset_password": "on"}
    assert root.post(page_of(alice), form_of(alice, **states)).status_code == 302
    alice.refresh_from_db()
    assert (alice.is_active, alice.is_approved) == (True, True)
    assert (alice.is_hidden, alice.must_reset_password) == (False, False)
    assert live_sessions([grant.session_id])


def test_a_superuser_gives_privileges(root: Client, alice: User) -> None:
    permission = Permission.objects.get(codename="view_prekeybundle")
    answer = root.post(page_of(alice), form_of(alice, is_staff="on", user_permissions=[permission.pk]))
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert alice.is_staff
    assert list(alice.user_permissions.all()) == [permission]


def test_staff_cannot_give_privileges(moderator: Client, alice: User) -> None:
    privileges = {"is_staff": "on", "is_superuser": "on", "user_permissions": [1]}
    answer = moderator.post(page_of(alice), form_of(alice, bio="edited", **privileges))
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert alice.bio == "edited"
    assert not alice.is_staff
    assert not alice.is_superuser
    assert not alice.user_permissions.exists()


def test_staff_cannot_touch_a_superuser(moderator: Client) -> None:
    root = User.objects.create_superuser("root", PASSWORD)
    assert moderator.post(page_of(root), form_of(root, bio="edited")).status_code == 403
    assert moderator.post(page_of(root, "delete"), {"post": "yes"}).status_code == 403
    selection = {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"}
    assert moderator.post(USERS, selection).status_code in {200, 403}
    root.refresh_from_db()
    assert root.bio == ""


@pytest.mark.parametrize("browser", ["root", "moderator"])
def test_deleting_a_user_ends_the_live_sockets(
    request: pytest.FixtureRequest,
    alice: User,
    grant: Grant,
    browser: str,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    client: Client = request.getfixturevalue(browser)
    with django_capture_on_commit_callbacks() as callbacks:
        assert client.post(page_of(alice, "delete"), {"post": "yes"}).status_code == 302
    assert events(callbacks) == [SessionsEnded(alice.pk)]
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not Session.objects.exists()


def test_deleting_several_users_ends_the_sockets_of_each(
    root: Client, alice: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    bob = User.objects.create_user("bob")
    selection = {"action": "delete_selected", "_selected_action": [alice.pk, bob.pk]}
    assert "Alice" in root.post(USERS, selection).content.decode()
    assert User.objects.count() == 3
    with django_capture_on_commit_callbacks() as callbacks:
        root.post(USERS, selection | {"post": "yes"})
    assert set(events(callbacks)) == {SessionsEnded(alice.pk), SessionsEnded(bob.pk)}
    assert User.objects.get().username == "root"


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


def test_selected_sessions_are_revoked_and_their_sockets_end(
    root: Client,
    alice: User,
    grant: Grant,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    other = open_session(alice, HOME)
    with django_capture_on_commit_callbacks() as callbacks:
        answer = root.post(
            SESSIONS, {"action": "revoke", "_selected_action": [grant.session_id]}, follow=True
        )
    assert "Sessions revoked: 1." in answer.content.decode()
    assert events(callbacks) == [SessionsEnded(alice.pk, (grant.session_id,))]
    assert not live_sessions([grant.session_id])
    assert live_sessions([other.session_id])


def test_who_may_only_look_cannot_revoke(moderator: Client, grant: Grant) -> None:
    moderator.post(SESSIONS, {"action": "revoke", "_selected_action": [grant.session_id]})
    assert live_sessions([grant.session_id])


def test_a_session_is_neither_edited_nor_deleted(root: Client, grant: Grant) -> None:
    session = Session.objects.get()
    assert root.post(page_of(session), {"client_label": "x"}).status_code == 403
    assert root.post(page_of(session, "delete"), {"post": "yes"}).status_code == 403
    assert Session.objects.get().client_label == HOME.client_label


def test_staff_approve_accounts_and_their_sockets_hear_of_it(
    root: Client, alice: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    User.objects.filter(pk=alice.pk).update(is_approved=False)
    selection = {"action": "approve", "_selected_action": [alice.pk]}
    with django_capture_on_commit_callbacks() as callbacks:
        answer = root.post(USERS, selection, follow=True)
    assert "Accounts approved: 1." in answer.content.decode()
    assert events(callbacks) == [AccountApproved(alice.pk)]
    assert User.objects.get(pk=alice.pk).is_approved


def test_invites_are_shown_without_their_codes_and_ended(root: Client) -> None:
    code = make_invite(2, timedelta(days=1), "for the choir").code
    invite = Invite.objects.get()
    page = root.get(INVITES).content.decode()
    assert "for the choir" in page
    assert not [secret for secret in (code, bytes(invite.digest).hex()) if secret in page]
    answer = root.post(INVITES, {"action": "end", "_selected_action": [invite.pk]}, follow=True)
    assert "Invites ended: 1." in answer.content.decode()
    invite.refresh_from_db()
    assert invite.expires_at <= timezone.now()
