"""Pages of acts, and what a user's page shows of the account itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.audit.actions import OF_REPORTS, Action
from accounts.audit.models import AuditEntry
from accounts.desk import acts
from accounts.desk.forms import LimitsForm, NoteForm, ProfileForm, RenamingForm, SuspensionForm
from accounts.desk.lists import MANY, actor_of, add_refusal, refusal_text
from accounts.desk.permissions import May
from accounts.desk.registry import (
    ACTS,
    PANELS,
    Cell,
    Link,
    Panel,
    UserAct,
    is_withheld,
    register_act,
    register_panel,
    register_panel_for,
    register_panel_of_others,
)
from accounts.models import Session, StaffNote, Suspension, User
from construct_site.errors import ConstructError

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

SHOWN = 10
"""Rows of a panel."""
_USERS = "admin:accounts_user_changelist"
_USER = "admin:accounts_user_change"


def act_page(request: HttpRequest, name: str, site: AdminSite) -> HttpResponse:
    """The form of an act for the accounts ``?ids=``, and the act, for each in a transaction of its own."""
    act = ACTS.get(name)
    if act is None:
        raise Http404
    if not request.user.has_perm(act.permission):
        raise PermissionDenied
    users = _chosen(request, act)
    form = act.form(request.POST if request.method == "POST" else None, initial=act.initial(users))
    if request.method == "POST" and form.is_valid():
        if act.gives_file:
            return _file(act, request, users[0], form.cleaned_data)
        if _perform(act, request, users, form):
            return HttpResponseRedirect(_afterwards(request, users))
    context = {
        **site.each_context(request),
        "title": act.label,
        "act": act,
        "users": users,
        "form": form,
        "back": _afterwards(request, users),
    }
    return TemplateResponse(request, "desk/act.html", context)


def _file(act: UserAct, request: HttpRequest, user: User, data: dict[str, object]) -> HttpResponse:
    try:
        return cast("HttpResponse", act.perform(actor_of(request), user.pk, **data))
    except ConstructError as error:
        messages.error(request, f"{user.username}: {refusal_text(error)}")
    return HttpResponseRedirect(_afterwards(request, [user]))


def _chosen(request: HttpRequest, act: UserAct) -> list[User]:
    texts = request.GET.get("ids", "").split(",")
    if len(texts) > (MANY if act.is_for_many else 1):
        raise Http404
    try:
        ids = [UUID(text) for text in texts]
    except ValueError:
        raise Http404 from None
    users = list(User.objects.filter(pk__in=ids).order_by("username_folded"))
    if not users:
        raise Http404
    return users


def _perform(act: UserAct, request: HttpRequest, users: Sequence[User], form: forms.Form) -> bool:
    """Do it to each, and tell what came of it. False: it was to one, and refused; the form says why."""
    refusals: list[tuple[User, ConstructError]] = []
    unchanged = 0
    for user in users:
        try:
            unchanged += act.perform(actor_of(request), user.pk, **form.cleaned_data) is False
        except ConstructError as error:
            refusals.append((user, error))
    if refusals and len(users) == 1 and User.objects.filter(pk=users[0].pk).exists():
        add_refusal(form, refusals[0][1])
        return False
    if done := len(users) - len(refusals) - unchanged:
        messages.success(request, f"{act.label}: done for {done} of {len(users)}.")
    if unchanged:
        messages.info(request, f"{act.label}: nothing to change for {unchanged} of {len(users)}.")
    for user, refusal in refusals:
        messages.error(request, f"{user.username}: {refusal_text(refusal)}")
    return True


def _afterwards(request: HttpRequest, users: Sequence[User]) -> str:
    if len(users) == 1 and User.objects.filter(pk=users[0].pk).exists():
        return reverse(_USER, args=[users[0].pk])
    # The filters of the list that they were chosen from.
    return f"{reverse(_USERS)}?{request.GET.get('list', '')}".rstrip("?")


def acts_on(request: HttpRequest, user: User) -> list[Link]:
    """The acts that this staff member may do to this user, as the links of the user's page."""
    viewer = cast("User", request.user)
    return [
        Link(act.label, f"{reverse('admin:user_act', args=[act.name])}?ids={user.pk}")
        for act in ACTS.values()
        if viewer.has_perm(act.permission) and act.suits(user) and not acts.why_not(viewer, user, act.action)
    ]


def panels_of(request: HttpRequest, user: User) -> list[Panel]:
    viewer = cast("User", request.user)
    read = (source.read(user.pk, viewer) for source in PANELS if viewer.has_perm(source.permission))
    return [panel for panel in read if panel is not None]


# What accounts know of a user


def shown_time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "-"


def names_of(user_ids: Iterable[UUID | None]) -> dict[UUID | None, Cell]:
    """Links to the pages of these people; who is gone is an id. One query."""
    ids = {user_id for user_id in user_ids if user_id}
    found = dict(User.objects.filter(pk__in=ids).values_list("pk", "username"))
    return {
        user_id: Link(found[user_id], reverse(_USER, args=[user_id])) if user_id in found else str(user_id)
        for user_id in ids
    }


def _sessions(user_id: UUID) -> Panel:
    newest = Session.objects.filter(user=user_id).order_by("-created_at")[:SHOWN]
    return Panel(
        "Sessions",
        ("Client", "Opened", "Last used, to the hour", "Expires", "Revoked"),
        [
            (
                session.client_label or "-",
                shown_time(session.created_at),
                shown_time(session.last_used_at),
                shown_time(session.expires_at),
                shown_time(session.revoked_at),
            )
            for session in newest
        ],
        Link("All", f"{reverse('admin:accounts_session_changelist')}?q={user_id}"),
    )


def _suspensions(user_id: UUID, viewer: User) -> Panel:
    """Without the reasons for the staff where the viewer is the user."""
    shown = slice(-1 if is_withheld(viewer, user_id) else None)
    newest = Suspension.objects.filter(user=user_id).order_by("-begun_at")[:SHOWN]
    return Panel(
        "Suspensions",
        ("Begun", "Ends", "Ended", "Told to the owner", "Reason")[shown],
        [
            (
                shown_time(each.begun_at),
                shown_time(each.ends_at),
                shown_time(each.ended_at),
                each.public_reason or "-",
                each.internal_reason,
            )[shown]
            for each in newest
        ],
    )


def _notes(user_id: UUID) -> Panel:
    newest = list(StaffNote.objects.filter(user=user_id).order_by("-written_at", "-pk")[:SHOWN])
    authors = names_of(note.author_id for note in newest)
    rows = [(shown_time(note.written_at), authors[note.author_id], note.text) for note in newest]
    return Panel("Notes", ("Written", "By", "Note"), rows)


def _audit(user_id: UUID, viewer: User) -> Panel | None:
    """Without what was done to reports where the viewer is the user."""
    if is_withheld(viewer, user_id):
        return None
    entries = AuditEntry.objects.filter(user_id=user_id).order_by("-number")
    newest = list((entries.exclude(action__in=OF_REPORTS) if viewer.pk == user_id else entries)[:SHOWN])
    actors = names_of(entry.actor_id for entry in newest)
    return Panel(
        "What staff did",
        ("When", "Who", "Act", "Of", "Reason"),
        [
            (
                shown_time(entry.at),
                actors.get(entry.actor_id, entry.actor_kind),
                entry.action.replace("_", " "),
                entry.target,
                entry.reason,
            )
            for entry in newest
        ],
        Link("All", f"{reverse('admin:audit_auditentry_changelist')}?q={user_id}"),
    )


def register() -> None:
    """What accounts show and offer."""
    register_panel_for(10, "accounts.view_user", _suspensions)
    register_panel_of_others(20, "accounts.view_user", _notes)
    register_panel(30, "accounts.view_session", _sessions)
    register_panel_for(90, "audit.view_auditentry", _audit)
    for act in (
        UserAct(
            "suspend",
            "Suspend",
            "The account's sockets close at once, and it cannot be used until the end or until the suspension is "
            "lifted. Its sessions and its waiting messages stay. It takes the place of a suspension in force.",
            Action.SUSPEND,
            May.SUSPEND_USER,
            acts.suspend,
            SuspensionForm,
        ),
        UserAct(
            "lift-suspension",
            "Lift the suspension",
            "The account can be used again; its sessions go on.",
            Action.LIFT_SUSPENSION,
            May.SUSPEND_USER,
            acts.lift_suspension,
            suits=lambda user: not user.is_active,
        ),
        UserAct(
            "revoke-sessions",
            "Revoke all sessions",
            "Every client has to log in again.",
            Action.REVOKE_SESSIONS,
            May.REVOKE_SESSIONS,
            acts.revoke_sessions,
        ),
        UserAct(
            "require-password-reset",
            "Force a password reset",
            "All sessions end, and logins are refused until a reset code is redeemed, which an operator makes.",
            Action.REQUIRE_PASSWORD_RESET,
            May.REQUIRE_PASSWORD_RESET,
            acts.require_password_reset,
        ),
        UserAct(
            "rename",
            "Rename",
            "For an offensive name. The former one rests, so that nobody else takes it.",
            Action.RENAME,
            May.RENAME_USER,
            acts.rename,
            RenamingForm,
            is_for_many=False,
        ),
        UserAct(
            "give-neutral-name",
            "Give a neutral name",
            "For an offensive name. The username and the display name become a generated one, such as "
            "user_8d0f3c5b7a9e1246; the former username rests, so that nobody else takes it.",
            Action.RENAME,
            May.RENAME_USER,
            acts.give_neutral_name,
        ),
        UserAct(
            "edit-profile",
            "Edit the profile",
            "By the rules of the owner's own changes. What stays empty becomes empty.",
            Action.EDIT_PROFILE,
            May.RENAME_USER,
            lambda actor, user_id, *, reason, **changes: acts.edit_profile(
                actor, user_id, changes, reason=reason
            ),
            ProfileForm,
            is_for_many=False,
        ),
        UserAct(
            "hide",
            "Hide from searches",
            "Searches do not find the account, and its owner cannot change that.",
            Action.HIDE_FROM_SEARCH,
            May.HIDE_USER,
            acts.hide_from_search,
            suits=lambda user: not user.is_hidden,
        ),
        UserAct(
            "show",
            "Show in searches",
            "The account's owner may let searches find it again.",
            Action.SHOW_IN_SEARCH,
            May.HIDE_USER,
            acts.show_in_search,
            suits=lambda user: user.is_hidden,
        ),
        UserAct(
            "approve",
            "Approve",
            "A new account may send and be found.",
            Action.APPROVE,
            May.APPROVE_USER,
            acts.approve,
            suits=lambda user: not user.is_approved,
        ),
        UserAct(
            "refuse",
            "Refuse",
            "A new account that waits for approval is deleted.",
            Action.REFUSE,
            May.APPROVE_USER,
            acts.refuse,
            suits=lambda user: not user.is_approved,
        ),
        UserAct(
            "set-limits",
            "Set the message limit",
            "How many messages the account may send in an hour. It holds at once, also for open sockets.",
            Action.SET_LIMITS,
            May.SET_LIMITS,
            acts.set_limits,
            LimitsForm,
        ),
        UserAct(
            "note",
            "Write a note",
            "For the staff. It goes with the account.",
            Action.ADD_NOTE,
            May.ADD_NOTE,
            acts.add_note,
            NoteForm,
            is_for_many=False,
        ),
        UserAct(
            "delete",
            "Delete",
            "The account goes for good, with its sessions, keys and waiting messages. Its name rests.",
            Action.DELETE_USER,
            May.DELETE_USER,
            acts.delete,
        ),
        UserAct(
            "remove-second-factor",
            "Remove the second factor",
            "With its recovery codes, for who lost them. Where one is required, the next page asks to set another up.",
            Action.REMOVE_SECOND_FACTOR,
            May.REMOVE_SECOND_FACTOR,
            acts.remove_second_factor,
            suits=lambda user: user.is_staff or user.is_superuser,
        ),
    ):
        register_act(act)
