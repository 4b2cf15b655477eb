"""Prekey bundles in the admin: whose, how old, how often rotated and replaced. No key material is shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone

from accounts.desk.lists import of_user
from accounts.readonly import ReadOnlyAdmin
from keys.models import PrekeyBundle, RetiredIdentity, RetiredPrekey


class StaleFilter(admin.SimpleListFilter):
    title = "prekey"
    parameter_name = "prekey"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [("stale", "Stale"), ("fresh", "Fresh")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[PrekeyBundle]) -> QuerySet[PrekeyBundle]:
        stale_from = timezone.now() - timedelta(seconds=settings.CONSTRUCT.prekey_stale_s)
        if self.value() == "stale":
            return queryset.filter(rotated_at__lte=stale_from)
        return queryset.filter(rotated_at__gt=stale_from) if self.value() == "fresh" else queryset


@admin.register(PrekeyBundle)
class PrekeyBundleAdmin(ReadOnlyAdmin[PrekeyBundle]):
    list_display = ("user", "created_at", "rotated_at", "is_stale", "rotations", "replacements")
    list_filter = (StaleFilter,)
    list_select_related = ("user",)
    search_fields = ("user__username_folded",)
    search_help_text = "A username, or a user's id."
    ordering = ("rotated_at",)
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[PrekeyBundle]:
        # A replacement retires a prekey too.
        prekeys, replacements = (
            _count_of(RetiredPrekey.objects.all()),
            _count_of(RetiredIdentity.objects.all()),
        )
        bundles = super().get_queryset(request)
        return bundles.annotate(replacement_count=replacements, rotation_count=prekeys - replacements)

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[PrekeyBundle], search_term: str
    ) -> tuple[QuerySet[PrekeyBundle], bool]:
        return of_user(queryset, search_term), False

    @admin.display(boolean=True, description="stale")
    def is_stale(self, bundle: PrekeyBundle) -> bool:
        return bundle.is_stale

    def rotations(self, bundle: PrekeyBundle) -> int:
        # Annotated by `get_queryset`.
        count: int = bundle.rotation_count  # type: ignore[attr-defined]
        return count

    def replacements(self, bundle: PrekeyBundle) -> int:
        """How often the whole bundle was replaced."""
        count: int = bundle.replacement_count  # type: ignore[attr-defined]
        return count


def _count_of(retired: QuerySet[Any]) -> Coalesce:
    """How many a bundle has: counted for the rows of a page alone, which a join would not be."""
    of_bundle = retired.filter(bundle=OuterRef("pk")).order_by().values("bundle")
    return Coalesce(Subquery(of_bundle.annotate(count=Count("pk")).values("count")), 0)
