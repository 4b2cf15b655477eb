"""What all lists of the admin share, and admin pages that only show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern

from accounts.desk.lists import BoundedPaginator

Shown = TypeVar("Shown", bound=Model)

if TYPE_CHECKING:
    from typing import Generic

    from django.contrib.admin.views.main import ChangeList
    from django.db.models.expressions import Combinable

    class _ModelAdmin(admin.ModelAdmin[Shown], Generic[Shown]): ...

else:
    from unfold.admin import ModelAdmin
    from unfold.views import ChangeList

    # It takes no type argument at run time.
    class _ModelAdmin(ModelAdmin):
        def __class_getitem__(cls, _model):
            return cls


class DeskList(ChangeList):
    """A list in its own order: Django takes any other from an address, also where no column offers one.

    What is searched for is without outer white space, which comes along when a name is pasted.
    """

    def get_queryset(self, request: HttpRequest, *arguments: Any, **options: Any) -> QuerySet[Any]:
        self.query = self.query.strip()
        return super().get_queryset(request, *arguments, **options)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        self.params.pop(ORDER_VAR, None)
        return super().get_ordering(request, queryset)


class TypedModelAdmin(_ModelAdmin[Shown]):
    """Unfold's ``ModelAdmin``, written with its model: ``TypedModelAdmin[User]``.

    Its list stays fast among a million rows: it counts to a bound, and has one order, that of an index.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    sortable_by: ClassVar[tuple[str, ...]] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002 - Django's signature
        return DeskList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """What an address may ask of rows: the list's own filters alone.

        Django lets every column be asked (``?password__startswith=``), which tells a hash letter by letter.
        """
        allowed = set()
        for each in self.get_list_filter(request):
            if isinstance(each, str):
                allowed |= {f"{each}__{test}" for test in ("exact", "isnull", "in")}
            else:
                allowed.add(getattr(each, "parameter_name", ""))
        # PostgreSQL has no text with NUL.
        return lookup in allowed and "\0" not in value

    # Django's own history names accounts for good, and the audit has what it tells.

    def get_urls(self) -> list[URLPattern]:
        return [each for each in super().get_urls() if not (each.name or "").endswith("_history")]

    def log_addition(self, _request: HttpRequest, _obj: Shown, _message: object) -> Any:
        return None

    def log_change(self, _request: HttpRequest, _obj: Shown, _message: object) -> Any:
        return None

    def log_deletions(self, _request: HttpRequest, _queryset: QuerySet[Shown]) -> Any:
        return None


class ReadOnlyAdmin(TypedModelAdmin[Shown]):
    """Rows can be seen by staff with the view permission, and neither added, changed nor deleted."""

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Shown | None = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Shown | None = None) -> bool:
        return False
