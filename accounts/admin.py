"""Accounts, sessions and invites in the admin: shown here, and changed by the acts of :mod:`accounts.desk`.

Only superusers edit something on a page itself: who of the staff may do what.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from accounts import services
from accounts.audit.chain import SYSTEM
from accounts.desk import acts
from accounts.desk.dashboard import Period
from accounts.desk.forms import InviteForm, ReasonForm, reason_field
from accounts.desk.lists import FOUND, MANY, actor_of, ask_and_act, of_user, refusal_text
from accounts.desk.pages import act_page, acts_on, panels_of
from accounts.desk.permissions import May
from accounts.desk.registry import ACTS
from accounts.folding import fold
from accounts.models import Invite, Session, User
from accounts.readonly import ReadOnlyAdmin, Shown, TypedModelAdmin
from accounts.services import addresses
from construct_site.errors import ConstructError

NEWEST = 1_000
"""Invites whose notes a search looks into: a part of a text is found by no index."""
SENT_FORMS, REMEMBERED_FORMS = "construct_sent_forms", 20
"""In a sign-in's session, the newest forms that made an invite."""
PRIVILEGES = ("is_staff", "is_superuser", "groups", "user_permissions")

if TYPE_CHECKING:
    UserModelForm = forms.ModelForm[User]
    GroupModelForm = forms.ModelForm[Group]
else:
    UserModelForm = GroupModelForm = forms.ModelForm


class ReasonedForm(forms.Form):
    """A form of an admin's page that asks for a reason too."""

    reason = reason_field()

    def clean_reason(self) -> str:
        try:
            return acts.checked_reason(SYSTEM, self.cleaned_data["reason"])
        except ConstructError as error:
            raise forms.ValidationError(refusal_text(error)) from None


class RightsForm(ReasonedForm, UserModelForm):
    """Of the rights of one account."""


class RoleForm(ReasonedForm, GroupModelForm):
    """Of a role and its permissions."""


class RefusingAdmin(TypedModelAdmin[Shown]):
    """A refusal to store what a page's form says is a message on the list; nothing has changed then."""

    def changeform_view(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *arguments, **options)
        except ConstructError as error:
            messages.error(request, refusal_text(error))
            return HttpResponseRedirect(
                reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
            )


class StateFilter(admin.SimpleListFilter):
    """Each is served by an index of the accounts that it finds, which are few."""

    title = "state"
    parameter_name = "state"
    _STATES = {
        "suspended": ("Suspended", {"is_active": False}),
        "pending": ("Waiting for approval", {"is_approved": False}),
        "hidden": ("Hidden from searches", {"is_hidden": True}),
        "reset": ("Password reset required", {"must_reset_password": True}),
        "staff": ("Staff", {"is_staff": True}),
    }

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(name, title) for name, (title, _) in self._STATES.items()]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        _, condition = self._STATES.get(self.value() or "", ("", {}))
        return queryset.filter(**condition)


class SeenFilter(admin.SimpleListFilter):
    """Of whom the dashboard counts as active: since midnight UTC."""

    title = "last seen"
    parameter_name = "seen"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [("today", "Today")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        return queryset.filter(last_seen_on=timezone.now().date()) if self.value() == "today" else queryset


class RegisteredFilter(admin.SimpleListFilter):
    """In the period that the dashboard shows. The list has the newest first then."""

    title = "registered"
    parameter_name = "registered"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(period.word, f"In {period.title}") for period in Period]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        for period in Period:
            if self.value() == period.word:
                return queryset.filter(created_at__gte=period.bounds(timezone.now())[0])
        return queryset


@admin.register(User)
class UserAdmin(RefusingAdmin[User]):
    """Accounts are made by registration and go by an act; only superusers edit here, and rights alone."""

    form = RightsForm
    list_display = ("username", "display_name", "created_at", "last_seen_on", *("is_active", "is_approved"))
    list_filter = (StateFilter, SeenFilter, RegisteredFilter)
    search_fields = ("username_folded",)
    search_help_text = f"The beginning of a username or display name (the first {FOUND} by each), or an id."
    ordering = ("username_folded",)
    readonly_fields = (
        "id",
        "username",
        "created_at",
        "last_seen_on",
        "display_name",
        "bio",
        "avatar_url",
        "discoverable",
        "is_active",
        "is_approved",
        "is_hidden",
        "must_reset_password",
        "messages_per_hour",
    )
    filter_horizontal = ("groups", "user_permissions")
    fieldsets = (
        (None, {"fields": ("id", "username", "created_at", "last_seen_on")}),
        (
            "State",
            {
                "fields": (
                    "is_active",
                    "is_approved",
                    "is_hidden",
                    "must_reset_password",
                    "messages_per_hour",
                )
            },
        ),
        ("Profile", {"fields": ("display_name", "bio", "avatar_url", "discoverable")}),
        ("Rights", {"fields": (*PRIVILEGES, "reason")}),
    )

    # What staff do

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(partial(act_page, site=self.admin_site))
        return [path("act/<slug:name>/", page, name="user_act"), *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Django's, and those of the desk that are done to many."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        for act in ACTS.values():
            if act.is_for_many and request.user.has_perm(act.permission):
                actions[act.name] = (_opener(act.name), act.name, act.label)
        return actions

    # What is shown

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Who could give rights could give them to themselves: that is for superusers.

        Their own they leave to another of them: the last one cannot undo theirs.
        """
        return _is_superuser(request) and (obj is None or obj.pk != request.user.pk)

    def has_delete_permission(self, _request: HttpRequest, _obj: User | None = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        *shown, rights = super().get_fieldsets(request, obj)
        if not _is_superuser(request):
            return shown
        is_editable = self.has_change_permission(request, obj)
        return [*shown, rights if is_editable else ("Rights", {"fields": PRIVILEGES})]

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        is_by_age = RegisteredFilter.parameter_name in request.GET
        return ("-created_at",) if is_by_age else self.ordering

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(pk=UUID(search_term)), False
        except ValueError:
            beginning = fold(search_term)
        # Looked up each for itself, for no index serves both with the order of the list.
        found = [
            user_id
            for name in ("username_folded", "display_name_folded")
            for user_id in User.objects.filter(**{f"{name}__startswith": beginning}).values_list(
                "pk", flat=True
            )[:FOUND]
        ]
        return queryset.filter(Q(pk__in=found) | Q(username_folded=beginning)), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        user = self.get_object(request, object_id)
        shown: dict[str, Any] = {}
        if user is not None and self.has_view_permission(request, user):
            shown = {"acts": acts_on(request, user), "panels": panels_of(request, user)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    # Rights

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "user_permissions":
            # The name of each tells its content type.
            options["queryset"] = Permission.objects.select_related("content_type")
        return super().formfield_for_manytomany(db_field, request, **options)

    def save_model(self, _request: HttpRequest, obj: User, form: Any, _change: bool) -> None:
        form.rights_before = acts.hold_rights(obj.pk, form.cleaned_data["groups"])
        services.update_account(obj, set(form.changed_data) & {"is_staff", "is_superuser"})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        acts.note_rights(
            actor_of(request), form.instance.pk, form.rights_before, reason=form.cleaned_data["reason"]
        )


def _opener(name: str) -> Callable[[Any, HttpRequest, QuerySet[User]], HttpResponse | None]:
    """An action that opens the act's page for the selected accounts."""

    def open_page(_admin: Any, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        ids = [str(user_id) for user_id in queryset.values_list("pk", flat=True)[: MANY + 1]]
        if len(ids) > MANY:
            messages.error(request, f"At most {MANY} accounts at once.")
            return None
        # The list's own filters, for the way back.
        filters = {"list": request.GET.urlencode()} if request.GET else {}
        asked = urlencode({"ids": ",".join(ids), **filters}, safe=",")
        return HttpResponseRedirect(f"{reverse('admin:user_act', args=[name])}?{asked}")

    return open_page


class LiveFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Live"), ("ended", "Ended")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        ended = Q(expires_at__lte=timezone.now()) | Q(revoked_at__isnull=False)
        if self.value() == "ended":
            return queryset.filter(ended)
        return queryset.exclude(ended) if self.value() == "live" else queryset


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin[Session]):
    """Sessions can be seen and revoked."""

    list_display = ("user", "client_label", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = (LiveFilter,)
    list_select_related = ("user",)
    search_fields = ("user__username_folded",)
    search_help_text = "A username, or a user's id."
    ordering = ("-created_at",)
    actions = ("revoke",)

    def get_fields(self, _request: HttpRequest, _obj: Session | None = None) -> tuple[str, ...]:
        allowed = ("address",) if settings.CONSTRUCT.staff_addresses else ()
        return ("id", *self.list_display, *allowed)

    @admin.display(description="address")
    def address(self, session: Session) -> str:
        return addresses.unseal(session.pk, session.address_sealed) or "-"

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        return of_user(queryset, search_term), False

    @admin.action(description="Revoke selected sessions", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Session]) -> TemplateResponse | None:
        return ask_and_act(
            self,
            request,
            queryset,
            name="revoke",
            label="Revoke sessions",
            act=lambda actor, session, reason: acts.revoke_sessions(
                actor, session.user_id, reason=reason, session_ids=[session.pk]
            ),
        )

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(May.REVOKE_SESSIONS)


@admin.register(Invite)
class InviteAdmin(ReadOnlyAdmin[Invite]):
    """Invites can be made, seen without their codes, and ended."""

    list_display = ("__str__", "note", "uses_left", "created_at", "expires_at")
    search_fields = ("note",)
    ordering = ("-created_at",)
    search_help_text = f"A part of a note, among the newest {NEWEST} invites."
    fields = ("note", "uses_left", "created_at", "expires_at")
    actions = ("end",)

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Invite], search_term: str
    ) -> tuple[QuerySet[Invite], bool]:
        if not search_term:
            return queryset, False
        newest = Invite.objects.order_by("-created_at").values("pk")[:NEWEST]
        return queryset.filter(pk__in=newest, note__icontains=search_term), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(May.MAKE_INVITE)

    def add_view(self, request: HttpRequest, *_arguments: Any, **_options: Any) -> HttpResponse:
        """Make an invite. Its code is on the page that answers, and nowhere else."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = InviteForm(request.POST if request.method == "POST" else None)
        context = {**self.admin_site.each_context(request), "title": "Make an invite", "opts": self.opts}
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            sent = request.session.get(SENT_FORMS, [])
            if data["once"] in sent:
                messages.warning(request, "This form made an invite already: it made no other.")
                return HttpResponseRedirect(reverse("admin:accounts_invite_changelist"))
            request.session[SENT_FORMS] = [*sent, data["once"]][-REMEMBERED_FORMS:]
            life = timedelta(days=data["days"])
            code = acts.make_invite(actor_of(request), data["uses"], life, note=data["note"])
            context |= {"code": code, "uses": data["uses"]}
        return TemplateResponse(request, "desk/invite.html", {**context, "form": form})

    @admin.action(description="End selected invites", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Invite]) -> TemplateResponse | None:
        return ask_and_act(
            self,
            request,
            queryset,
            name="end",
            label="End invites",
            act=lambda actor, invite, reason: acts.end_invite(actor, invite.pk, reason=reason),
        )

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(May.END_INVITE)


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(GroupAdmin, RefusingAdmin[Group]):
    """Django's page of groups, in the look of the others, with a reason. What changes is in the audit."""

    form = RoleForm

    # Whoever may change a role gives themselves every right.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, _obj: Group | None = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, _obj: Group | None = None) -> bool:
        return _is_superuser(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        if change:
            acts.hold_role(obj)
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        before = acts.permissions_of(form.instance)
        super().save_related(request, form, formsets, change)
        done = "changed" if change else "made"
        if change and "name" in form.changed_data:
            done = f"renamed from {form.initial['name'][: acts.NAME_CHARS]}"
        reason = form.cleaned_data["reason"]
        acts.note_role(actor_of(request), form.instance, done, before, reason=reason)

    def delete_view(self, request: HttpRequest, object_id: str, _extra_context: Any = None) -> HttpResponse:
        """Django's page has no room for a reason."""
        role = self.get_object(request, object_id)
        if role is None:
            raise Http404
        if not self.has_delete_permission(request, role):
            raise PermissionDenied
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                acts.delete_role(actor_of(request), role, reason=form.cleaned_data["reason"])
            except ConstructError as error:
                messages.error(request, refusal_text(error))
            else:
                messages.success(request, f"The role {role.name} is deleted.")
            return HttpResponseRedirect(reverse("admin:auth_group_changelist"))
        title = f"Delete the role {role.name}"
        act = {"label": "Delete", "explanation": "Who has it loses what it allows, with their next page."}
        context = {**self.admin_site.each_context(request), "title": title, "act": act, "form": form}
        return TemplateResponse(request, "desk/act.html", context)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)
