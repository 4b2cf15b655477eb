"""What each role may do in the admin, and what it may not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.audit.models import AuditEntry
from accounts.desk.lists import MANY
from accounts.desk.permissions import MODERATOR, OPERATOR, ROLES, May, write_roles
from accounts.models import Invite, User
from accounts.second_factor.models import Authenticator
from accounts.second_factor.services import begin
from accounts.services import make_invite, open_session
from tests.accounts.conftest import HOME, PASSWORD

pytestmark = pytest.mark.django_db
USERS = reverse("admin:accounts_user_changelist")
SESSIONS = reverse("admin:accounts_session_changelist")
INVITES = reverse("admin:accounts_invite_changelist")
BUNDLES = reverse("admin:keys_prekeybundle_changelist")
GROUPS = reverse("admin:auth_group_changelist")
SETTINGS = reverse("admin:settings")
OF_OPERATORS = {May.VIEW_SETTINGS, May.PURGE, May.EXPORT_USER, May.EXPORT_AUDIT}


def browser_of(role: str | None) -> Client:
    """A browser of somebody of the staff who has this role, and of a superuser for None."""
    write_roles(apps)
    make = User.objects.create_superuser if role is None else User.objects.create_user
    user = make(role or "root", PASSWORD, is_staff=True)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def status(client: Client, address: str) -> int:
    return client.get(address).status_code


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_what_the_table_says(role: str) -> None:
    write_roles(apps)
    write_roles(apps)
    permissions = Group.objects.get(name=role).permissions.select_related("content_type")
    held = {f"{each.content_type.app_label}.{each.codename}" for each in permissions}
    assert held == ROLES[role]


def test_the_migration_made_the_roles_and_django_none_of_their_permissions_again() -> None:
    names = list(Permission.objects.values_list("content_type__app_label", "codename"))
    assert len(names) == len(set(names))
    assert {each.codename for each in May} <= {codename for app, codename in names if app == "desk"}


def test_a_permission_that_was_added_to_a_role_by_hand_is_taken_away_by_the_next_migration() -> None:
    write_roles(apps)
    role = Group.objects.get(name=MODERATOR)
    role.permissions.add(Permission.objects.get(codename="delete_user", content_type__app_label="accounts"))
    write_roles(apps)
    assert not role.permissions.filter(codename="delete_user", content_type__app_label="accounts").exists()


def test_operators_are_moderators_who_may_more() -> None:
    assert ROLES[OPERATOR] - ROLES[MODERATOR] == OF_OPERATORS


def test_no_role_changes_a_row_or_a_right_past_the_acts() -> None:
    for role in ROLES.values():
        assert not [name for name in role if not name.startswith("desk.") and ".view_" not in name]


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (MODERATOR, {USERS, SESSIONS, INVITES, BUNDLES}),
        (OPERATOR, {USERS, SESSIONS, INVITES, BUNDLES, SETTINGS}),
        (None, {USERS, SESSIONS, INVITES, BUNDLES, SETTINGS, GROUPS}),
    ],
)
def test_pages_are_open_to_those_whom_they_are_for_and_the_sidebar_shows_no_others(
    role: str | None, seen: set[str]
) -> None:
    client = browser_of(role)
    start = client.get(reverse("admin:index")).content.decode()
    for page in (USERS, SESSIONS, INVITES, BUNDLES, SETTINGS, GROUPS):
        assert status(client, page) == (200 if page in seen else 403), page
        assert (f'href="{page}"' in start) is (page in seen), page


@pytest.mark.parametrize("role", ROLES)
def test_a_role_neither_edits_nor_deletes_accounts_nor_gives_rights(role: str, alice: User) -> None:
    client = browser_of(role)
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    assert status(client, page) == 200
    assert client.post(page, {"display_name": "x", "is_staff": "on"}).status_code == 403
    assert (
        client.post(reverse("admin:accounts_user_delete", args=[alice.pk]), {"post": "y"}).status_code == 403
    )
    client.post(USERS, {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"})
    assert client.post(reverse("admin:auth_group_add"), {"name": "mine"}).status_code == 403
    alice.refresh_from_db()
    assert (alice.display_name, alice.is_staff) == ("Alice Liddell", False)


@pytest.mark.parametrize("role", [*ROLES, None])
def test_only_superusers_remove_a_second_factor_and_not_their_own(role: str | None, alice: User) -> None:
    client = browser_of(role)
    own = User.objects.get(username=role or "root")
    for user in (alice, own):
        begin(user)
    address = f"{reverse('admin:user_act', args=['remove-second-factor'])}?ids={alice.pk},{own.pk}"
    for form in ({}, {"reason": " "}, {"reason": "lost"}):
        assert not AuditEntry.objects.exists()
        client.post(address, form)
    left = set(Authenticator.objects.values_list("user", flat=True))
    assert left == ({own.pk} if role is None else {alice.pk, own.pk})
    if role is None:
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.actor_id, entry.user_id) == ("remove_second_factor", own.pk, alice.pk)
        assert entry.reason == "lost"


def test_of_no_more_than_a_hundred_at_once_is_the_second_factor_removed() -> None:
    client = browser_of(None)
    many = [User.objects.create_user(f"user-{number}") for number in range(MANY + 1)]
    ids = [str(user.pk) for user in many]
    form = {"action": "remove-second-factor", "_selected_action": ids}
    assert "At most 100 accounts at once." in client.post(USERS, form, follow=True).content.decode()
    address = f"{reverse('admin:user_act', args=['remove-second-factor'])}?ids={','.join(ids)}"
    assert client.post(address, {"reason": "lost"}).status_code == 404


def test_the_second_factor_of_staff_alone_is_offered_for_removal(alice: User) -> None:
    client = browser_of(None)
    address = f"{reverse('admin:user_act', args=['remove-second-factor'])}?ids="
    for is_staff in (False, True):
        User.objects.filter(pk=alice.pk).update(is_staff=is_staff)
        page = client.get(reverse("admin:accounts_user_change", args=[alice.pk])).content.decode()
        assert (address in page) is is_staff


def test_the_settings_page_shows_values_and_no_secret(settings: Settings) -> None:
    secret = "do-not-show-" * 5
    settings.CONSTRUCT = replace(
        settings.CONSTRUCT,
        secret_key=secret,
        database_url=f"postgresql://somebody:{secret}@db/x",
        redis_url=f"redis://:{secret}@cache",
        mailbox_keys=[secret],
        audit_keys=[secret],
        dedup_key=secret,
        further_dedup_keys=[secret],
        hosts=["chat.example", "www.chat.example"],
    )
    page = browser_of(OPERATOR).get(SETTINGS).content.decode()
    assert secret not in page
    assert "chat.example, www.chat.example" in page
    assert "CONSTRUCT_STAFF_IDLE_S" in page


def test_who_has_no_role_sees_an_empty_desk(client: Client) -> None:
    client.force_login(User.objects.create_user("novice", PASSWORD, is_staff=True))
    assert status(client, reverse("admin:index")) == 200
    for page in (USERS, SESSIONS, INVITES, BUNDLES, SETTINGS, GROUPS):
        assert status(client, page) == 403


class TestTools:
    PURGE, AUDIT = (reverse("admin:tool", args=[name]) for name in ("purge", "export-audit"))

    def test_operators_find_them_on_the_page_of_settings_and_moderators_may_use_none(
        self, alice: User
    ) -> None:
        operator = browser_of(OPERATOR)
        page = operator.get(SETTINGS).content.decode()
        export = f"{reverse('admin:user_act', args=['export'])}?ids={alice.pk}"
        for address in (self.PURGE, self.AUDIT):
            assert f'href="{address}"' in page
        moderator = browser_of(MODERATOR)
        for address in (self.PURGE, self.AUDIT, export):
            assert status(operator, address) == 200
            assert status(moderator, address) == 403
            assert moderator.post(address, {"reason": "why"}).status_code == 403
        assert status(operator, reverse("admin:tool", args=["nothing"])) == 404
        assert not AuditEntry.objects.exists()

    def test_without_a_reason_nothing_is_done(self, alice: User) -> None:
        operator = browser_of(OPERATOR)
        export = f"{reverse('admin:user_act', args=['export'])}?ids={alice.pk}"
        for address in (self.PURGE, self.AUDIT, export):
            assert 'name="reason"' in operator.post(address, {}).content.decode()
        assert not AuditEntry.objects.exists()

    def test_a_purge_deletes_what_has_expired(self) -> None:
        operator = browser_of(OPERATOR)
        make_invite(1, timedelta(days=1))
        Invite.objects.update(expires_at=timezone.now())
        answer = operator.post(self.PURGE, {"reason": "tidy"}, follow=True)
        assert "1 rows deleted." in answer.content.decode()
        assert not Invite.objects.exists()
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.reason) == ("purge", "tidy")


@pytest.mark.django_db(transaction=True)
def test_exports_are_files_and_entries_of_the_audit(alice: User) -> None:
    operator = browser_of(OPERATOR)
    grant = open_session(alice, HOME)
    exported = operator.post(
        f"{reverse('admin:user_act', args=['export'])}?ids={alice.pk}", {"reason": "asked by her"}
    )
    assert exported["content-disposition"] == f'attachment; filename="{alice.pk}.json"'
    told = json.loads(exported.content)
    assert told["account"]["username"] == "Alice"
    assert told["sessions"]["newest"][0]["address"] is None
    assert grant.token not in exported.content.decode()
    audit = operator.post(reverse("admin:tool", args=["export-audit"]), {"reason": "yearly"})
    assert audit["content-disposition"] == 'attachment; filename="audit.jsonl"'
    lines = [json.loads(line) for line in audit.content.decode().splitlines()]
    assert [(each["action"], each["target"], each["reason"]) for each in lines] == [
        ("export_user", "", "asked by her"),
        ("export_audit", "the newest 100000", "yearly"),
    ]


SECRET_LOOKUPS = {
    USERS: ("password__startswith=a", "password__regex=^a", "is_superuser=1", "authenticator__isnull=0"),
    SESSIONS: ("token_digest__gt=a", "address_sealed__isnull=0", "user__password__startswith=a"),
    INVITES: ("digest__gt=a", "uses_left=1"),
    BUNDLES: ("identity_public__gt=a", "user__password__startswith=a"),
    reverse("admin:audit_auditentry_changelist"): (
        "mac__gt=a",
        "reason__contains=a",
        "act=%00",
        "actor_kind__exact=%00",
    ),
    reverse("admin:moderation_report_changelist"): (
        "text__contains=a",
        "reporter__password__startswith=a",
        "category__exact=%00",
    ),
}


@pytest.mark.parametrize("role", [*ROLES, None])
def test_no_address_asks_columns_that_are_no_filter(role: str | None) -> None:
    """Else a hash could be guessed letter by letter."""
    client = browser_of(role)
    for page, lookups in SECRET_LOOKUPS.items():
        assert status(client, page) == 200, page
        for lookup in lookups:
            assert status(client, f"{page}?{lookup}") == 400, (page, lookup)


def test_a_change_of_a_role_is_in_the_audit() -> None:
    client = browser_of(None)
    permission = Permission.objects.get(codename="view_session", content_type__app_label="accounts")
    add = reverse("admin:auth_group_add")
    form = {"name": "Helpers", "permissions": [permission.pk], "reason": "for the summer"}
    assert client.post(add, {**form, "reason": " "}).status_code == 200
    assert client.post(add, form).status_code == 302
    group = Group.objects.get(name="Helpers")
    change, delete = (reverse(f"admin:auth_group_{act}", args=[group.pk]) for act in ("change", "delete"))
    form = {"name": "Helpers", "permissions": []}
    assert client.post(change, form).status_code == 200
    assert client.post(change, {**form, "reason": "no more"}).status_code == 302
    assert client.post(delete, {"post": "yes"}).status_code == 200
    assert client.post(delete, {"reason": "autumn"}).status_code == 302
    assert not Group.objects.filter(pk=group.pk).exists()
    told = AuditEntry.objects.order_by("number").values_list("action", "target", "reason")
    role = f"role {group.pk}, Helpers,"
    assert list(told) == [
        ("change_role", f"{role} made: +accounts.view_session", "for the summer"),
        ("change_role", f"{role} changed: -accounts.view_session", "no more"),
        ("change_role", f"{role} deleted", "autumn"),
    ]
    form = {
        "action": "delete_selected",
        "_selected_action": [Group.objects.get(name=MODERATOR).pk],
        "post": "y",
    }
    client.post(GROUPS, form)
    assert Group.objects.filter(name=MODERATOR).exists()


def test_another_name_of_a_role_is_in_the_audit() -> None:
    client = browser_of(None)
    group = Group.objects.create(name="Helpers")
    page = reverse("admin:auth_group_change", args=[group.pk])
    assert client.post(page, {"name": "Friends", "reason": "kinder"}).status_code == 302
    assert AuditEntry.objects.get().target == f"role {group.pk}, Friends, renamed from Helpers: no permission"


def test_no_permission_opens_the_roles_but_to_superusers() -> None:
    client = browser_of(MODERATOR)
    of_groups = Permission.objects.filter(content_type__app_label="auth", content_type__model="group")
    User.objects.get(username=MODERATOR).user_permissions.set(of_groups)
    role = Group.objects.get(name=MODERATOR)
    before = set(role.permissions.all())
    form = {"name": "mine", "permissions": [each.pk for each in of_groups], "reason": "why"}
    for name, arguments in (("add", []), ("change", [role.pk]), ("delete", [role.pk])):
        address = reverse(f"admin:auth_group_{name}", args=arguments)
        assert client.post(address, form).status_code == 403, name
    assert set(Group.objects.get(name=MODERATOR).permissions.all()) == before
    assert not AuditEntry.objects.exists()


def test_many_permissions_take_as_many_entries_as_they_need() -> None:
    client = browser_of(None)
    given = list(Permission.objects.select_related("content_type"))
    form = {"name": "x" * 150, "permissions": [each.pk for each in given], "reason": "all of them"}
    assert client.post(reverse("admin:auth_group_add"), form).status_code == 302
    entries = AuditEntry.objects.order_by("number")
    assert len(entries) > 1
    told = [name for entry in entries for name in entry.target.partition("made: ")[2].split()]
    assert sorted(told) == sorted(f"+{each.content_type.app_label}.{each.codename}" for each in given)


def test_no_history_of_django_names_an_account(alice: User) -> None:
    client = browser_of(None)
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    assert client.post(page, {"is_staff": "on", "reason": "joins\r\nthe team"}).status_code == 302
    assert AuditEntry.objects.get().reason == "joins\nthe team"
    assert not LogEntry.objects.exists()


def test_a_reason_with_a_control_character_is_refused_on_the_page_of_rights(alice: User) -> None:
    answer = browser_of(None).post(
        reverse("admin:accounts_user_change", args=[alice.pk]), {"is_staff": "on", "reason": "a\x1bb"}
    )
    assert answer.status_code == 200
    assert not User.objects.get(pk=alice.pk).is_staff
