"""Finding people by username or display name."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Case, IntegerField, Q, Value, When

from accounts.folding import fold
from accounts.models import User
from construct_site.errors import ConstructError, ErrorCode

QUERY_CHARS = 64
MOST_RESULTS = 20
SHORTEST_PREFIX = 2
SHORTEST_SUBSTRING = 3


@dataclass(frozen=True, slots=True)
class FoundUser:
    """What a search tells about a person; None where they told nothing."""

    id: UUID
    username: str
    display_name: str
    avatar_url: str | None
    bio: str | None


def search_users(query: str) -> list[FoundUser]:
    """At most 20 active, approved, discoverable users whose username or display name has `query` in it.

    Compared folded; ``%``, ``_`` and ``\\`` are ordinary characters. Under 2
    characters match nothing, 2 match as a prefix, 3 and more anywhere. Exact
    matches come first, then prefixes, then the others, each by username. A query
    of over 64 characters raises ``ConstructError(INVALID_FORMAT)``; one with a
    control character, which no name has, matches nothing. Raises
    ``ConstructError(SEARCH_FAILED)`` while the database is away.

    Source: protocol section 6.
    """
    if len(query) > QUERY_CHARS:
        raise ConstructError(ErrorCode.INVALID_FORMAT, f"A search has at most {QUERY_CHARS} characters.")
    wanted = fold(query.strip()).strip()
    # PostgreSQL takes neither NUL nor lone surrogates.
    if len(wanted) < SHORTEST_PREFIX or any(unicodedata.category(each) in {"Cc", "Cs"} for each in wanted):
        return []
    matching = _prefix(wanted) if len(wanted) < SHORTEST_SUBSTRING else _either("contains", wanted)
    try:
        return _found(matching, wanted)
    except DatabaseError as error:
        raise ConstructError(ErrorCode.SEARCH_FAILED) from error


def _found(matching: Q, wanted: str) -> list[FoundUser]:
    users = (
        User.objects.filter(matching, discoverable=True, is_active=True, is_approved=True)
        .annotate(rank=_rank(wanted))
        .order_by("rank", "username_folded")
        .only("id", "username", "display_name", "avatar_url", "bio")
    )
    return [
        FoundUser(user.pk, user.username, user.display_name, user.avatar_url or None, user.bio or None)
        for user in users[:MOST_RESULTS]
    ]


def _rank(wanted: str) -> Case:
    exact, prefix, substring = Value(0), Value(1), Value(2)
    return Case(
        When(_either("exact", wanted), then=exact),
        When(_prefix(wanted), then=prefix),
        default=substring,
        output_field=IntegerField(),
    )


def _prefix(wanted: str) -> Q:
    return _either("startswith", wanted)


def _either(lookup: str, wanted: str) -> Q:
    return Q((f"username_folded__{lookup}", wanted)) | Q((f"display_name_folded__{lookup}", wanted))
