"""Accounts and sessions in the admin. Rules live in :mod:`accounts.services`; secrets are shown nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts import services
from accounts.audit.chain import Actor
from accounts.desk.permissions import May
from accounts.folding import fold
from accounts.models import Invite, Session, User
from accounts.readonly import ReadOnlyAdmin, TypedModelAdmin
from accounts.second_factor import services as second_factor
from accounts.services.rules import checked_display_name
from construct_site.errors import ConstructError

RELATIONS = {"groups", "user_permissions"}
PRIVILEGES = ("is_staff", "is_superuser", *sorted(RELATIONS))

if TYPE_CHECKING:
    UserModelForm = forms.ModelForm[User]
else:
    UserModelForm = forms.ModelForm


class UserForm(UserModelForm):
    def clean_display_name(self) -> str:
        try:
            return checked_display_name(self.cleaned_data["display_name"])
        except ConstructError as error:
            raise ValidationError(error.text) from None


@admin.register(User)
class UserAdmin(TypedModelAdmin[User]):
    """Profiles can be edited and accounts removed; they are made by registration alone."""

    form = UserForm
    list_display = (
        "username",
        "display_name",
        "created_at",
        "last_seen_on",
        "is_active",
        "is_approved",
        "is_staff",
    )
    list_filter = ("is_active", "is_approved", "is_staff", "discoverable", "created_at")
    search_fields = ("username_folded", "display_name_folded")
    ordering = ("username_folded",)
    readonly_fields = ("id", "username", "created_at", "last_seen_on", "is_approved", "must_reset_password")
    actions = ("approve", "remove_second_factor")
    filter_horizontal = tuple(sorted(RELATIONS))
    fieldsets = (
        (None, {"fields": ("id", "username", "created_at", "last_seen_on")}),
        ("Profile", {"fields": ("display_name", "bio", "avatar_url", "discoverable")}),
        ("Access", {"fields": ("is_active", "is_approved", "must_reset_password", *PRIVILEGES)}),
    )

    @admin.action(description="Approve selected accounts", permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        approved = sum(services.approve_account(user.pk) for user in queryset)
        messages.success(request, f"Accounts approved: {approved}.")

    @admin.action(description="Remove second factor", permissions=["remove_second_factor"])
    def remove_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Of others alone: who has one's browser for a moment must not take it away."""
        actor = cast("User", request.user)
        others = queryset.exclude(pk=actor.pk)
        removed = sum(second_factor.remove(Actor.staff(actor.pk), user.pk) for user in others)
        messages.success(request, f"Second factors removed: {removed}.")

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(May.APPROVE_USER)

    def has_remove_second_factor_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Who could give privileges could give them to themselves: that is for superusers."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if _is_superuser(request) else (*fields, *PRIVILEGES)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        return super().get_search_results(request, queryset, fold(search_term))

    def save_model(self, _request: HttpRequest, obj: User, form: Any, _change: bool) -> None:
        services.update_account(obj, set(form.changed_data) - RELATIONS)

    def get_deleted_objects(
        self, objs: Iterable[User], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Name the accounts alone: what they own goes with them, and can be thousands of rows."""
        users = list(objs)
        refused = {"account of a superuser" for user in users if not _may_touch(request, user)}
        return [str(user) for user in users], {"users": len(users)}, refused, []

    def delete_model(self, _request: HttpRequest, obj: User) -> None:
        services.delete_user(obj)

    def delete_queryset(self, _request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            services.delete_user(user)


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
    list_filter = (LiveFilter, "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username_folded", "client_label")
    ordering = ("-created_at",)
    fields = ("id", *list_display)
    actions = ("revoke",)

    @admin.action(description="Revoke selected sessions", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        changed = sum(services.revoke_sessions(session.user_id, [session.pk]) for session in queryset)
        messages.success(request, f"Sessions revoked: {changed}.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(May.REVOKE_SESSIONS)


@admin.register(Invite)
class InviteAdmin(ReadOnlyAdmin[Invite]):
    """Invites can be seen, without their codes, and ended; ``manage.py make_invite`` makes them."""

    list_display = ("__str__", "note", "uses_left", "created_at", "expires_at")
    search_fields = ("note",)
    ordering = ("-created_at",)
    fields = ("note", "uses_left", "created_at", "expires_at")
    actions = ("end",)

    @admin.action(description="End selected invites", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Invite]) -> None:
        ended = services.end_invites(queryset.values_list("pk", flat=True))
        messages.success(request, f"Invites ended: {ended}.")

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(May.END_INVITE)


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(GroupAdmin, TypedModelAdmin[Group]):
    """Django's page of groups, in the look of the others."""


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    """A superuser's account is for superusers."""
    return user is None or not user.is_superuser or _is_superuser(request)
