"""Every form of the admin and every command: what changes something, or gives something out, is one entry.

Whoever adds a page, an act, a tool or a command tells this walk what it does.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session as BrowserSession
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import connections
from django.test import AsyncClient, RequestFactory
from django.urls import NoReverseMatch, URLPattern, URLResolver, reverse

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR, Actor
from accounts.audit.models import AuditDetails, AuditEntry, AuditHead
from accounts.audit.verification import verify
from accounts.desk import acts, permissions
from accounts.desk.permissions import MODERATOR, ROLES, write_roles
from accounts.desk.registry import ACTS
from accounts.desk.tools import TOOLS
from accounts.management.operators import OperatorCommand
from accounts.models import Invite, User
from accounts.moderation.models import Report
from accounts.moderation.reports import report
from accounts.second_factor.models import Authenticator
from accounts.second_factor.services import begin
from accounts.services import make_invite, open_session
from tests.accounts.authenticators import code_of, enrol
from tests.accounts.conftest import HOME, PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
NEW_PASSWORD = "another horse battery"
OUTSIDE = {BrowserSession, AuditEntry, AuditDetails, AuditHead}
"""Models whose rows may change beside the one entry: they are the browser's, and the audit itself."""


@dataclass
class Scene:
    """Somebody of the staff, and what they can act on."""

    viewer: User
    subject: User
    session_id: UUID
    invite_id: int
    report_id: UUID
    other_report_id: UUID
    colleague_id: UUID
    group_id: int
    recovery_codes: list[str] = field(default_factory=list)


ROW = "_<path:object_id>/"
"""The end of a door that has no name, and leads to a row's page."""
Form = Mapping[str, object]
WITHOUT_REASON: Form = {"reason": None}
Prepare = Callable[[Scene], object]


@dataclass(frozen=True)
class Step:
    """A form that one of the staff sends."""

    action: Action
    form: Form | Callable[[Scene], Form] = field(default_factory=dict)
    refused: Form = field(default_factory=lambda: WITHOUT_REASON)
    """Fields with which it is refused; one that is None is left out."""
    role: str | None = None
    """Of who sends it; None: a superuser."""
    prepare: Prepare = lambda _scene: None
    before: Callable[[AsyncClient, Scene], Awaitable[object]] | None = None
    """What they send before, which has entries of its own."""
    is_signed_in: bool = True

    def fields(self, scene: Scene) -> Form:
        form = self.form(scene) if callable(self.form) else self.form
        return {"reason": "why", **form} if "reason" in self.refused else form

    def refused_fields(self, scene: Scene) -> Form:
        form = {**self.fields(scene), **self.refused}
        return {name: value for name, value in form.items() if value is not None}


def of_report(action: Action, form: Callable[[Scene], Form] | None = None, **state: object) -> Step:
    def prepare(scene: Scene) -> None:
        assignee = {"assignee": scene.viewer} if state.get("state") == "taken" else {}
        Report.objects.filter(pk=scene.report_id).update(**state, **assignee)

    return Step(action, form or {}, role=MODERATOR, prepare=prepare)


def of_account(name: str, action: Action, refused: Form, form: Form) -> Step:
    return Step(action, form, refused or WITHOUT_REASON, role_of(ACTS[name].permission))


def of_row(action: Action, word: str, row: Callable[[Scene], object]) -> Step:
    chosen: Callable[[Scene], Form] = lambda scene: {  # noqa: E731
        "action": word,
        "apply": "yes",
        "_selected_action": [row(scene)],
    }
    return Step(action, chosen, role=MODERATOR)


def role_of(permission: str) -> str | None:
    return next((role for role in (MODERATOR, permissions.OPERATOR) if permission in ROLES[role]), None)


def with_second_factor(scene: Scene) -> None:
    scene.recovery_codes = enrol(scene.viewer)


async def verify_sign_in(client: AsyncClient, scene: Scene) -> None:
    await client.post(reverse("admin:second_factor_verify"), {"code": scene.recovery_codes[0]})


STEPS: dict[str, Step] = {
    "login": Step(
        Action.SIGN_IN,
        {"username": "viewer", "password": PASSWORD, "next": reverse("admin:index")},
        {"password": "wrong password"},
        is_signed_in=False,
    ),
    "password_change": Step(
        Action.CHANGE_PASSWORD,
        {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD},
        {"new_password2": "mistyped"},
        role=MODERATOR,
    ),
    "second_factor_enrol": Step(
        Action.ENROL_SECOND_FACTOR,
        lambda scene: {"code": code_of(Authenticator.objects.get(user=scene.viewer))},
        {"code": ""},
        prepare=lambda scene: begin(scene.viewer),
    ),
    "second_factor_verify": Step(
        Action.SIGN_IN,
        lambda scene: {"code": scene.recovery_codes[1]},
        {"code": ""},
        prepare=with_second_factor,
    ),
    "second_factor": Step(
        Action.RENEW_RECOVERY_CODES,
        lambda scene: {"code": scene.recovery_codes[1]},
        {"code": ""},
        prepare=with_second_factor,
        before=verify_sign_in,
    ),
    "accounts_user_change": Step(Action.CHANGE_RIGHTS, {"is_staff": "on"}),
    "accounts_session_changelist revoke": of_row(
        Action.REVOKE_SESSIONS, "revoke", lambda scene: scene.session_id
    ),
    "accounts_invite_changelist end": of_row(Action.END_INVITE, "end", lambda scene: scene.invite_id),
    "accounts_invite_add": Step(
        Action.MAKE_INVITE, {"uses": 1, "days": 1, "once": "a"}, {"uses": 0}, MODERATOR
    ),
    "auth_group_add": Step(Action.CHANGE_ROLE, {"name": "Helpers"}),
    "auth_group_change": Step(Action.CHANGE_ROLE, {"name": "Helpers"}),
    "auth_group_delete": Step(Action.CHANGE_ROLE),
    "moderation_report_take": of_report(Action.TAKE_REPORT),
    "moderation_report_changelist take": of_row(Action.TAKE_REPORT, "take", lambda scene: scene.report_id),
    "moderation_report_changelist dismiss": of_row(
        Action.DISMISS_REPORT, "dismiss", lambda scene: scene.report_id
    ),
    "moderation_report_assign": of_report(
        Action.ASSIGN_REPORT, lambda scene: {"assignee": scene.colleague_id}
    ),
    "moderation_report_release": of_report(Action.RELEASE_REPORT, state="taken"),
    "moderation_report_resolve": of_report(Action.RESOLVE_REPORT),
    "moderation_report_dismiss": of_report(Action.DISMISS_REPORT),
    "moderation_report_merge": of_report(Action.MERGE_REPORTS, lambda scene: {"into": scene.other_report_id}),
    "moderation_report_reopen": of_report(Action.REOPEN_REPORT, state="dismissed"),
    "moderation_report_note": Step(Action.NOTE_REPORT, {"note": "x"}, {"note": "x" * 2001}, MODERATOR),
    "tool export-audit": Step(Action.EXPORT_AUDIT, role=permissions.OPERATOR),
    "tool purge": Step(Action.PURGE, role=permissions.OPERATOR),
    **{
        f"user_act {name}": of_account(name, action, refused, form)
        for name, action, refused, form in (
            ("suspend", Action.SUSPEND, {}, {"days": "7", "public_reason": "Spam."}),
            ("lift-suspension", Action.LIFT_SUSPENSION, {}, {}),
            ("revoke-sessions", Action.REVOKE_SESSIONS, {}, {}),
            ("require-password-reset", Action.REQUIRE_PASSWORD_RESET, {}, {}),
            ("rename", Action.RENAME, {}, {"username": "carol"}),
            ("give-neutral-name", Action.RENAME, {}, {}),
            ("edit-profile", Action.EDIT_PROFILE, {}, {"display_name": "Queen"}),
            ("hide", Action.HIDE_FROM_SEARCH, {}, {}),
            ("show", Action.SHOW_IN_SEARCH, {}, {}),
            ("approve", Action.APPROVE, {}, {}),
            ("refuse", Action.REFUSE, {}, {}),
            ("set-limits", Action.SET_LIMITS, {}, {"messages_per_hour": 5}),
            ("note", Action.ADD_NOTE, {"text": ""}, {"text": "Was warned."}),
            ("delete", Action.DELETE_USER, {}, {}),
            ("remove-second-factor", Action.REMOVE_SECOND_FACTOR, {}, {}),
            ("clear-mailbox", Action.CLEAR_MAILBOX, {}, {}),
            ("export", Action.EXPORT_USER, {}, {}),
        )
    },
}
"""By their doors (:func:`doors`)."""

NO_ENTRY = {
    "search",
    "settings",
    "figure",
    "index",
    "logout",
    "password_change_done",
    "autocomplete",
    "jsi18n",
    "app_list",
    "(?P<url>.*)$",
    *(f"accounts_user_changelist {act.name}" for act in ACTS.values() if act.is_for_many),
    *(
        f"{model}{page}"
        for model, page in product(
            (
                "accounts_user",
                "accounts_session",
                "accounts_invite",
                "auth_group",
                "audit_auditentry",
                "moderation_report",
                "keys_prekeybundle",
            ),
            ("_changelist", "_add", "_delete", "_change", ROW),
        )
        if f"{model}{page}" not in STEPS
    ),
}
"""Doors behind which nothing changes. An action of the list of users leads to the act's page."""


def patterns(urls: list[Any], before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Each with a name; one that has none is called by its route."""
    for each in urls:
        if isinstance(each, URLResolver):
            yield from patterns(each.url_patterns, f"{str(each.pattern).strip('/').replace('/', '_')}_")
        else:
            yield each.name or f"{before}{each.pattern}", each


def doors() -> set[str]:
    """What of the admin takes a form: pages, and of those that do several things each of them."""
    request = RequestFactory().get("/")
    request.user = User(is_staff=True, is_superuser=True)
    found = {name for name, _ in patterns(admin.site.get_urls())} - {"user_act", "tool"}
    found |= {f"user_act {name}" for name in ACTS} | {f"tool {name}" for name in TOOLS}
    for model, model_admin in admin.site._registry.items():
        listed = f"{model._meta.app_label}_{model._meta.model_name}_changelist"
        found |= {f"{listed} {action}" for action in model_admin.get_actions(request)}
    return found


def address_of(door: str, scene: Scene) -> str:
    name, _, word = door.partition(" ")
    ids = {
        "accounts_user": scene.subject.pk,
        "accounts_session": scene.session_id,
        "accounts_invite": scene.invite_id,
        "auth_group": scene.group_id,
        "audit_auditentry": 1,
        "moderation_report": scene.report_id,
        "keys_prekeybundle": scene.subject.pk,
    }
    if name == "user_act":
        return f"{reverse('admin:user_act', args=[word])}?ids={scene.subject.pk}"
    if name == "(?P<url>.*)$":
        return f"{reverse('admin:index')}nothing/"
    if name.endswith(ROW):
        model = name.removesuffix(ROW)
        return f"{reverse(f'admin:{model}_changelist')}{ids[model]}/"
    arguments = {"tool": [word], "figure": ["registrations"], "app_list": ["accounts"]}
    try:
        return reverse(f"admin:{name}", args=arguments.get(name, []))
    except NoReverseMatch:
        return reverse(f"admin:{name}", args=[ids[name.rpartition("_")[0]]])


def set_scene(role: str | None) -> Scene:
    """The account is suspended, waits for approval and has a second factor, so that every act has something to do."""
    write_roles(apps)
    viewer = User.objects.create_user("viewer", PASSWORD, is_staff=True, is_superuser=role is None)
    viewer.groups.set(Group.objects.filter(name=role))
    colleague = User.objects.create_user("carla", is_staff=True, is_superuser=True)
    subject, reporter = (User.objects.create_user(name, PASSWORD) for name in ("alice", "bob"))
    session_id = open_session(subject, HOME).session_id
    begin(subject)
    make_invite(1, timedelta(days=1), "")
    spam, other = (report(reporter.pk, subject.pk, category, "", []) for category in ("spam", "other"))
    User.objects.filter(pk=subject.pk).update(is_active=False, is_approved=False)
    group = Group.objects.create(name="Beginners")
    invite_id = Invite.objects.get().pk
    return Scene(viewer, subject, session_id, invite_id, spam, other, colleague.pk, group.pk)


def rows() -> dict[str, list[str]]:
    """All that the database has, but for browsers and the audit."""

    def told(value: object) -> object:
        return bytes(value) if isinstance(value, memoryview) else value

    return {
        model._meta.label: sorted(
            str([told(value) for value in row]) for row in model._default_manager.values_list()
        )
        for model in apps.get_models()
        if model not in OUTSIDE
    }


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    # Django's test client leaves its thread's connection open.
    yield AsyncClient()
    await sync_to_async(connections.close_all)()


def test_the_walk_knows_every_door_of_the_admin() -> None:
    assert doors() == STEPS.keys() | NO_ENTRY
    assert not STEPS.keys() & NO_ENTRY


@pytest.mark.parametrize("door", STEPS)
async def test_each_form_of_the_admin_is_one_entry_and_none_where_it_is_refused(
    client: AsyncClient, door: str
) -> None:
    step = STEPS[door]
    scene = await sync_to_async(set_scene)(step.role)
    await sync_to_async(step.prepare)(scene)
    if step.is_signed_in:
        await client.aforce_login(scene.viewer)
    if step.before:
        await step.before(client, scene)
    address = address_of(door, scene)
    entries, before = await AuditEntry.objects.acount(), await sync_to_async(rows)()
    form, refused_form = (
        await sync_to_async(step.fields)(scene),
        await sync_to_async(step.refused_fields)(scene),
    )
    refused = await client.post(address, refused_form)
    assert refused.status_code == 200
    assert await AuditEntry.objects.acount() == entries
    assert await sync_to_async(rows)() == before
    answer = await client.post(address, form)
    assert answer.status_code in (200, 302)
    assert await AuditEntry.objects.acount() == entries + 1, answer.content.decode()
    entry = await AuditEntry.objects.alatest("number")
    assert (entry.action, entry.actor_kind, entry.actor_id) == (step.action, "staff", scene.viewer.pk)
    assert "reason" not in form or entry.reason == "why"
    assert (await sync_to_async(verify)()).faults == []


async def test_behind_every_other_door_of_the_admin_nothing_changes(client: AsyncClient) -> None:
    scene = await sync_to_async(set_scene)(None)
    actor = Actor.staff(scene.viewer.pk)
    await sync_to_async(acts.hide_from_search)(actor, scene.subject.pk, reason="an entry to look at")
    before = await sync_to_async(rows)()
    for door in sorted(NO_ENTRY):
        await client.aforce_login(scene.viewer)
        form = {"reason": "why", "post": "yes", "apply": "yes", "action": door.partition(" ")[2]}
        form |= {"_selected_action": str(scene.subject.pk), "state": "resolved", "client_label": "x"}
        answer = await client.post(address_of(door, scene), form)
        assert answer.status_code in (200, 302, 400, 403, 404, 405), door
        assert await AuditEntry.objects.acount() == 1, door
        assert await sync_to_async(rows)() == before, door


# Commands

COMMANDS: dict[str, tuple[Action, list[str], str]] = {
    "changepassword": (Action.CHANGE_PASSWORD, ["alice"], NEW_PASSWORD),
    "create_staff": (Action.CREATE_STAFF, ["carol"], PASSWORD),
    "createsuperuser": (Action.CREATE_STAFF, ["--username", "carol"], PASSWORD),
    "delete_user": (Action.DELETE_USER, ["alice", "--yes"], ""),
    "expire_mailbox": (Action.EXPIRE_MAILBOX, [], ""),
    "export_audit": (Action.EXPORT_AUDIT, [], ""),
    "export_user": (Action.EXPORT_USER, ["alice"], ""),
    "make_invite": (Action.MAKE_INVITE, [], ""),
    "make_reset_code": (Action.MAKE_RESET_CODE, ["alice"], ""),
    "purge": (Action.PURGE, [], ""),
    "reset_second_factor": (Action.REMOVE_SECOND_FACTOR, ["alice"], ""),
    "revoke_sessions": (Action.REVOKE_SESSIONS, ["alice"], ""),
}
"""With their arguments and what is typed."""
READING = {"list_sessions", "verify_audit", "demo", "serve"}
"""They show what pages show, or run or try the server."""


def own_commands() -> dict[str, str]:
    """The apps by the commands' names."""
    ours = ("accounts", "keys", "messaging", "construct_site")
    return {name: app for name, app in get_commands().items() if app.partition(".")[0] in ours}


def test_the_walk_knows_every_command() -> None:
    found = own_commands()
    assert found.keys() == COMMANDS.keys() | READING
    for name, app in found.items():
        assert isinstance(load_command_class(app, name), OperatorCommand) is (name in COMMANDS), name


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_one_entry_and_none_where_its_reason_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    action, arguments, typed = COMMANDS[name]
    set_scene(None)
    before, output = rows(), io.StringIO()

    def run(reason: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
        call_command(name, *arguments, "--reason", reason, stdout=output)
        return output.getvalue()

    with pytest.raises(CommandError, match="At most 500 characters"):
        run("x" * 501)
    assert output.getvalue() == ""
    assert rows() == before
    assert not AuditEntry.objects.exists()
    assert run("ticket 7")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.reason) == (action, "ticket 7")
    assert (entry.actor_kind, entry.actor_id) == (OPERATOR.kind, None)
    assert verify().faults == []


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("expire_mailbox", "messaging.management.commands.expire_mailbox.expire_mailbox"),
        ("export_audit", "accounts.audit.management.commands.export_audit.lines_after"),
        ("export_user", "messaging.management.commands.export_user.export_user"),
        ("purge", "messaging.management.commands.purge.purge"),
    ],
)
def test_a_command_that_does_not_end_has_its_entry(
    monkeypatch: pytest.MonkeyPatch, name: str, work: str
) -> None:
    set_scene(None)
    action, arguments, _ = COMMANDS[name]
    monkeypatch.setattr(work, stop)
    with pytest.raises(Interrupted):
        call_command(name, *arguments)
    assert AuditEntry.objects.get().action == action


@pytest.mark.parametrize(
    ("door", "work"),
    [
        ("tool export-audit", "accounts.desk.tools.newest_lines"),
        ("tool purge", "messaging.desk.purge"),
        ("user_act export", "messaging.desk.export_user"),
    ],
)
async def test_a_tool_that_does_not_end_has_its_entry(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, door: str, work: str
) -> None:
    scene = await sync_to_async(set_scene)(permissions.OPERATOR)
    await client.aforce_login(scene.viewer)
    monkeypatch.setattr(work, stop)
    with pytest.raises(Interrupted):
        await client.post(address_of(door, scene), {"reason": "why"})
    assert (await AuditEntry.objects.aget()).action == STEPS[door].action


class Interrupted(Exception):
    """The process stops."""


def stop(*_args: object, **_options: object) -> None:
    raise Interrupted
