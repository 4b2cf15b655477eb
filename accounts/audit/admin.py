"""The audit in the admin: read, and nothing else."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.audit.actions import OF_REPORTS, Action
from accounts.audit.models import AuditEntry
from accounts.folding import fold
from accounts.models import User
from accounts.readonly import ReadOnlyAdmin


class ActionFilter(admin.SimpleListFilter):
    title = "act"
    parameter_name = "act"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(action.value, action.value.replace("_", " ")) for action in Action]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """What others did to oneself is shown to superusers alone, and reports about oneself to nobody.

    An export has both, for it has the whole chain.
    """

    list_display = ("number", "at", "actor_kind", "actor", "act", "subject", "target", "reason")
    list_filter = (ActionFilter, "actor_kind")
    search_fields = ("user_id",)
    search_help_text = "The id or username of who acted, or of whom it was done to."
    ordering = ("-number",)
    fields = (*list_display, "changes")
    readonly_fields = ("actor", "act", "subject", "changes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """With the names of who acted and of whom it was done to, as they are now, where the viewer may see users."""
        entries, viewer = super().get_queryset(request), cast("User", request.user)
        withheld = Q(user_id=viewer.pk) & ~Q(actor_id=viewer.pk)
        entries = entries.exclude(withheld & Q(action__in=OF_REPORTS) if viewer.is_superuser else withheld)
        if not viewer.has_perm("accounts.view_user"):
            return entries
        return entries.annotate(actor_name=_name_of("actor_id"), subject_name=_name_of("user_id"))

    @admin.display(description="who")
    def actor(self, entry: AuditEntry) -> str:
        return _person(entry.actor_id, vars(entry).get("actor_name"))

    @admin.display(description="to whom")
    def subject(self, entry: AuditEntry) -> str:
        return _person(entry.user_id, vars(entry).get("subject_name"))

    @admin.display(description="act")
    def act(self, entry: AuditEntry) -> str:
        return entry.action.replace("_", " ")

    @admin.display(description="changed fields")
    def changes(self, entry: AuditEntry) -> str:
        """Before and after; gone once the account is."""
        if entry.details_digest is None:
            return "none"
        if not hasattr(entry, "details"):
            return "gone with the account"
        changed = entry.details.changes.items()
        return "; ".join(f"{name}: {before!r} → {after!r}" for name, (before, after) in changed)

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        if not search_term:
            return queryset, False
        person = _id_of(search_term)
        if person is None:
            return queryset.none(), False
        # Each by its own index.
        return queryset.filter(user_id=person) | queryset.filter(actor_id=person), False


def _id_of(term: str) -> UUID | None:
    """The id that this is, or that of the user of this whole name."""
    try:
        return UUID(term)
    except ValueError:
        return User.objects.filter(username_folded=fold(term)).values_list("pk", flat=True).first()


def _name_of(column: str) -> Subquery:
    return Subquery(User.objects.filter(pk=OuterRef(column)).values("username"))


def _person(user_id: UUID | None, username: str | None) -> str:
    """A link to the person's page; of who is gone, the id."""
    if user_id is None or username is None:
        return "-" if user_id is None else str(user_id)
    page = reverse("admin:accounts_user_change", args=[user_id])
    return format_html('<a class="underline" href="{}">{}</a>', page, username)
