"""Admin pages that only show."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

Shown = TypeVar("Shown", bound=Model)

if TYPE_CHECKING:
    from typing import Generic

    class _ModelAdmin(admin.ModelAdmin[Shown], Generic[Shown]): ...

else:
    from unfold.admin import ModelAdmin

    # It takes no type argument at run time.
    class _ModelAdmin(ModelAdmin):
        def __class_getitem__(cls, _model):
            return cls


class TypedModelAdmin(_ModelAdmin[Shown]):
    """Unfold's ``ModelAdmin``, written with its model: ``TypedModelAdmin[User]``."""


class ReadOnlyAdmin(TypedModelAdmin[Shown]):
    """Rows can be seen by staff with the view permission, and neither added, changed nor deleted."""

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Shown | None = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Shown | None = None) -> bool:
        return False
