"""Lists of the admin that stay fast among a million rows, and acts on selected rows that ask for a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.functional import cached_property

from accounts.audit.chain import Actor
from accounts.desk.forms import ReasonForm
from accounts.folding import fold
from accounts.models import User
from construct_site.errors import ConstructError

COUNTED = 10_000
"""Rows that a list counts, and pages through, at most: whoever looks further filters or searches."""
FOUND = 500
"""Users that a search finds by the beginning of a username, and as many by that of a display name."""
MANY = 100
"""Rows that one act is done to at once."""

Row = TypeVar("Row", bound=Model)


class BoundedPaginator(Paginator):  # type: ignore[type-arg] # generic for the type checker alone
    """Counts to a bound: a full count of a million rows takes longer than the page."""

    @cached_property
    def count(self) -> int:
        # Unordered: whichever rows come first are enough.
        return self._rows.order_by().values("pk")[:COUNTED].count()

    def page(self, number: int | str) -> Page[Model]:
        """What is joined and counted for a row is so for this page's alone, not for all that come before them."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        shown = self._rows.values("pk")[first : min(first + self.per_page, self.count)]
        return Page(self._rows.filter(pk__in=shown), number, self)

    @property
    def _rows(self) -> QuerySet[Model]:
        return cast("QuerySet[Model]", self.object_list)


def of_user(rows: QuerySet[Row], search_term: str, field: str = "user") -> QuerySet[Row]:
    """The rows whose `field` is the user of this id or whole name: each is found by an index."""
    if not search_term:
        return rows
    try:
        return rows.filter(**{field: UUID(search_term)})
    except ValueError:
        return rows.filter(**{f"{field}__username_folded": fold(search_term)})


def actor_of(request: HttpRequest) -> Actor:
    return Actor.staff(cast("User", request.user).pk)


def refusal_text(error: ConstructError) -> str:
    """What was refused, in one line."""
    fields = "; ".join(sentence for each in (error.fields or {}).values() for sentence in each)
    return fields or error.text


def add_refusal(form: forms.Form, error: ConstructError) -> None:
    """Say on the form what was refused, at its fields where they are the error's."""
    for name, sentences in (error.fields or {}).items():
        form.add_error(name if name in form.fields else None, list(sentences))
    if not error.fields:
        form.add_error(None, error.text)


def ask_and_act(
    admin: ModelAdmin[Row],
    request: HttpRequest,
    queryset: QuerySet[Row],
    *,
    name: str,
    label: str,
    act: Callable[[Actor, Row, str], object],
) -> TemplateResponse | None:
    """An action of a list: a page that asks for the reason, then the act for each row in a transaction of its own.

    `name` is the action's; `act` gets the actor, a row and the reason.
    """
    rows: Sequence[Row] = list(queryset[: MANY + 1])
    if len(rows) > MANY:
        messages.error(request, f"At most {MANY} at once.")
        return None
    is_answer = "apply" in request.POST
    form = ReasonForm(request.POST if is_answer else None)
    if not (is_answer and form.is_valid()):
        context: dict[str, Any] = {
            **admin.admin_site.each_context(request),
            "title": label,
            "label": label,
            "name": name,
            "rows": rows,
            "form": form,
            "opts": admin.opts,
        }
        return TemplateResponse(request, "desk/reason.html", context)
    done = 0
    for row in rows:
        try:
            act(actor_of(request), row, form.cleaned_data["reason"])
            done += 1
        except ConstructError as error:
            messages.error(request, f"{row}: {refusal_text(error)}")
    if done:
        messages.success(request, f"{label}: done for {done} of {len(rows)}.")
    return None
