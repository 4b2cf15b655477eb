"""The audit in the admin: read, and nothing else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.audit.actions import Action
from accounts.audit.models import AuditEntry
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
    list_display = ("number", "at", "actor_kind", "actor_id", "act", "user_id", "target", "reason")
    list_filter = (ActionFilter, "actor_kind")
    search_fields = ("user_id",)
    search_help_text = "The id of who acted, or of whom it was done to."
    ordering = ("-number",)
    fields = (*list_display, "changes")
    readonly_fields = ("act", "changes")

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
        try:
            person = UUID(search_term)
        except ValueError:
            return queryset.none(), False
        # Each by its own index.
        return queryset.filter(user_id=person) | queryset.filter(actor_id=person), False
