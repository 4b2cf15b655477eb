"""Finding people by username or display name."""

from __future__ import annotations

import unicodedata

from django.conf import settings
from django.db import DatabaseError

from accounts.folding import fold
from accounts.services.matching import MOST_RESULTS, FoundUser, Match, matching
from construct_site.errors import ConstructError, ErrorCode

QUERY_CHARS = 64
SHORTEST_PREFIX = 2
SHORTEST_SUBSTRING = 3


def search_users(query: str) -> list[FoundUser]:
    """At most 20 active, approved, discoverable users whose username or display name has `query` in it.

    Compared folded; ``%``, ``_`` and ``\\`` are ordinary characters. Under 2
    characters match nothing, 2 match as a prefix, 3 and more anywhere. Exact
    matches come first, then prefixes, then the others, each by username; of very
    many that match in the same way, some are taken (:mod:`accounts.services.matching`).
    Where ``CONSTRUCT_SEARCH`` is `exact`, only a whole username matches; where it is
    `off`, nothing does.

    A query of over 64 characters raises ``ConstructError(INVALID_FORMAT)``; one with a
    control character, which no name has, matches nothing. Raises
    ``ConstructError(SEARCH_FAILED)`` while the database is away.

    Source: protocol section 6.
    """
    if len(query) > QUERY_CHARS:
        raise ConstructError(ErrorCode.INVALID_FORMAT, f"A search has at most {QUERY_CHARS} characters.")
    mode = settings.CONSTRUCT.search
    wanted = fold(query.strip()).strip()
    if mode == "off" or len(wanted) < SHORTEST_PREFIX or _is_in_no_name(wanted):
        return []
    try:
        return matching(Match.USERNAME_IS, wanted) if mode == "exact" else _by_any_part(wanted)
    except DatabaseError as error:
        raise ConstructError(ErrorCode.SEARCH_FAILED) from error


def _is_in_no_name(text: str) -> bool:
    """PostgreSQL takes neither NUL nor lone surrogates."""
    return any(unicodedata.category(each) in {"Cc", "Cs"} for each in text)


def _by_any_part(wanted: str) -> list[FoundUser]:
    found = matching(Match.NAME_BEGINS, wanted)
    if len(wanted) < SHORTEST_SUBSTRING:
        return found
    with_some = _joined(found, Match.SAMPLE_HAS, wanted)
    return with_some if len(with_some) == MOST_RESULTS else _joined(found, Match.NAME_HAS, wanted)


def _joined(found: list[FoundUser], match: Match, wanted: str) -> list[FoundUser]:
    """`found` and, behind them, who matches besides: 20 in all. The database is asked only if some are missing."""
    if len(found) == MOST_RESULTS:
        return found
    further = [user for user in matching(match, wanted) if user not in found]
    return [*found, *further][:MOST_RESULTS]
