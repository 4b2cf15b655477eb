"""The one rule of lists over REST that grow: a page at a time, from where the one before it ended.

A list has an order, and each entry a place in it: text that no other entry has, and that stays as long
as the entry. `next` is the place of a page's last entry. So what comes or goes between two pages moves
nothing else: no entry is told twice, and of those that were there all the time none is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from construct_site.rest.endpoints import read_query
from construct_site.rest.payloads import Payload, Text

PAGE_ENTRIES = 100
PAGE_ENTRIES_MAX = 500
_PLACE = r"[A-Za-z0-9._-]{0,64}"
Entry = TypeVar("Entry")


@extend_schema_field({"type": "string", "pattern": f"^{_PLACE}$"})
class Place(Text):
    """Where a page ended. Whether there is still such an entry, does not matter."""

    default_error_messages = {"place": "This is not the `next` of a page."}

    def to_internal_value(self, data: Any) -> str:
        place = super().to_internal_value(data)
        if not re.fullmatch(_PLACE, place):
            self.fail("place")
        return place


class Entries(serializers.IntegerField):
    """A whole number in the digits of a query string, without sign or spaces."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", data):
            self.fail("invalid")
        return int(data)


class PageRequest(Payload):
    """Which page."""

    after = Place(default="", help_text="The `next` of the page before. Left out: from the beginning.")
    limit = Entries(
        default=PAGE_ENTRIES, min_value=1, max_value=PAGE_ENTRIES_MAX, help_text="Most entries of the page."
    )


class PageAnswer(Payload):
    """What stands beside the entries of a page."""

    next = Text(
        allow_null=True, help_text="What to send as `after` for the next page; null: this is the last."
    )


@dataclass(frozen=True, slots=True)
class Page:
    """The page that a request is for; by itself, the first."""

    after: str = ""
    limit: int = PAGE_ENTRIES

    def of(
        self, name: str, read: Callable[[str, int], Sequence[Entry]], place: Callable[[Entry], str]
    ) -> dict[str, object]:
        """What a :class:`PageAnswer` tells: the entries, as `name`, and `next`.

        `read` gives the entries whose place comes after the one it is given, in order, at most so many;
        `place` tells that of an entry.
        """
        # One more than the page has tells whether another follows.
        found = read(self.after, self.limit + 1)
        entries = found[: self.limit]
        return {name: entries, "next": place(entries[-1]) if len(found) > len(entries) else None}


def read_page(request: Request) -> Page:
    """Raises the library's errors, which become rows of the table."""
    return Page(**read_query(request, PageRequest))
