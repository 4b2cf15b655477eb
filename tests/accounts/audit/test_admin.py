"""The audit in the admin: the people of an entry by their names, and nothing of others about oneself."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.audit.actions import OF_REPORTS, Action
from accounts.audit.chain import OPERATOR, Actor, append
from accounts.audit.models import AuditEntry
from accounts.models import User

pytestmark = pytest.mark.django_db
LIST = reverse("admin:audit_auditentry_changelist")
GONE = UUID(int=7)


@pytest.fixture
def viewer() -> User:
    user = User.objects.create_user("viewer", is_staff=True)
    names = ("view_auditentry", "view_user", "export_audit")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def browser(viewer: User, client: Client) -> Client:
    client.force_login(viewer)
    return client


def page_of(entry: AuditEntry) -> str:
    return reverse("admin:audit_auditentry_change", args=[entry.number])


def link_to(user: User) -> str:
    page = reverse("admin:accounts_user_change", args=[user.pk])
    return f'<a class="underline" href="{page}">{user.username}</a>'


@pytest.fixture
def entries(viewer: User, alice: User) -> dict[str, AuditEntry]:
    """By who did it to whom."""
    me, root = Actor.staff(viewer.pk), Actor.staff(User.objects.create_superuser("root").pk)
    return {
        "the viewer to themselves": append(me, Action.SIGN_IN, user_id=viewer.pk),
        "the viewer to alice": append(me, Action.SUSPEND, user_id=alice.pk),
        "the viewer to nobody": append(me, Action.MAKE_INVITE),
        "root to alice": append(root, Action.SUSPEND, user_id=alice.pk),
        "root to nobody": append(root, Action.MAKE_INVITE),
        "the console to nobody": append(OPERATOR, Action.PURGE),
        "root to the viewer": append(root, Action.ADD_NOTE, user_id=viewer.pk),
        "the console to the viewer": append(OPERATOR, Action.RENAME, user_id=viewer.pk),
    }


def listed(client: Client, entries: dict[str, AuditEntry], **query: str) -> set[str]:
    text = client.get(LIST, query).content.decode()
    return {who for who, entry in entries.items() if f'href="{page_of(entry)}' in text}


def test_what_others_did_to_the_viewer_is_hidden(
    browser: Client, viewer: User, entries: dict[str, AuditEntry]
) -> None:
    hidden = {"root to the viewer", "the console to the viewer"}
    assert listed(browser, entries) == entries.keys() - hidden
    assert listed(browser, entries, q=str(viewer.pk)) == {
        who for who in entries if who.startswith("the viewer")
    }
    for who, entry in entries.items():
        assert (browser.get(page_of(entry)).status_code == 200) is (who not in hidden), who


def test_nobody_sees_what_was_done_to_reports_about_themselves(
    client: Client, browser: Client, viewer: User, alice: User
) -> None:
    entries = {
        f"{who}: {action}": append(actor, action, user_id=viewer.pk, target=f"report {UUID(int=1)}")
        for who, actor in (("alice", Actor.staff(alice.pk)), ("console", OPERATOR))
        for action in OF_REPORTS
    }
    entries["other"] = append(OPERATOR, Action.RESOLVE_REPORT, user_id=alice.pk)
    for is_superuser in (False, True):
        User.objects.filter(pk=viewer.pk).update(is_superuser=is_superuser)
        assert listed(browser, entries) == {"other"}
        assert listed(browser, entries, q=viewer.username) == set()
        own = browser.get(reverse("admin:accounts_user_change", args=[viewer.pk])).content.decode()
        assert str(UUID(int=1)) not in own
    client.force_login(User.objects.create_superuser("root"))
    assert listed(client, entries) == entries.keys()


def test_superusers_see_all(client: Client, viewer: User, entries: dict[str, AuditEntry]) -> None:
    User.objects.filter(pk=viewer.pk).update(is_superuser=True)
    client.force_login(viewer)
    assert listed(client, entries) == entries.keys()
    assert all(client.get(page_of(entry)).status_code == 200 for entry in entries.values())


def test_an_export_has_the_whole_chain(browser: Client, entries: dict[str, AuditEntry]) -> None:
    answer = browser.post(reverse("admin:tool", args=["export-audit"]), {"reason": "yearly"})
    numbers = [json.loads(line)["number"] for line in answer.content.decode().splitlines()]
    assert numbers == list(range(1, len(entries) + 2))


def test_people_are_named_as_they_are_now_and_who_is_gone_by_id(
    browser: Client, viewer: User, alice: User
) -> None:
    entry = append(Actor.staff(viewer.pk), Action.RENAME, user_id=alice.pk)
    later = append(Actor.staff(GONE), Action.DELETE_USER, user_id=UUID(int=8))
    User.objects.filter(pk=alice.pk).update(username="Carol", username_folded="carol")
    alice.refresh_from_db()
    for address in (LIST, page_of(entry)):
        text = browser.get(address).content.decode()
        assert link_to(viewer) in text
        assert link_to(alice) in text
        assert str(alice.pk) not in text.replace(link_to(alice), "")
    for address in (LIST, page_of(later)):
        text = browser.get(address).content.decode()
        assert str(GONE) in text
        assert str(UUID(int=8)) in text


def test_who_may_not_see_users_sees_their_ids(browser: Client, viewer: User, alice: User) -> None:
    append(OPERATOR, Action.HIDE_FROM_SEARCH, user_id=alice.pk)
    viewer.user_permissions.remove(
        Permission.objects.get(codename="view_user", content_type__app_label="accounts")
    )
    text = browser.get(LIST).content.decode()
    assert str(alice.pk) in text
    assert "Alice" not in text


@pytest.mark.parametrize(("query", "is_found"), [("ALICE", True), ("Ali", False), ("nobody", False)])
def test_entries_are_found_by_a_whole_username(
    browser: Client, alice: User, query: str, is_found: bool
) -> None:
    entries = {"alice": append(OPERATOR, Action.HIDE_FROM_SEARCH, user_id=alice.pk)}
    append(OPERATOR, Action.PURGE)
    assert bool(listed(browser, entries, q=query)) is is_found
