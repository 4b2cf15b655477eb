"""How the search finds accounts: its statements, each bounded however many accounts there are and match.

An index gives the candidates of a statement; at most :data:`MOST_SORTED` of them are put in order,
and at most :data:`MOST_RESULTS` are read whole. The indexes leave out who is not to be found
(migration 0007): whether somebody hides under a name takes no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from django.db import connection

MOST_RESULTS = 20
MOST_SORTED = 200
SAMPLE_ACCOUNTS = 2_000

_USERNAME_IS = "SELECT id FROM accounts_user WHERE {searchable} AND username_folded {binary} = %(text)s"
_NAME_BEGINS = """
    SELECT id FROM (
        SELECT id FROM accounts_user
        WHERE {searchable} AND username_folded {binary} LIKE %(prefix)s ESCAPE '\\'
        ORDER BY username_folded {binary} LIMIT {most_results}
    ) AS by_username
    UNION
    SELECT id FROM (
        SELECT id FROM (
            SELECT id, username_folded, display_name_folded FROM accounts_user
            WHERE {searchable} AND display_name_folded {binary} LIKE %(prefix)s ESCAPE '\\'
            ORDER BY display_name_folded {binary}, username_folded {binary} LIMIT {most_sorted}
        ) AS sorted
        ORDER BY display_name_folded = %(text)s DESC, username_folded {binary} LIMIT {most_results}
    ) AS by_display_name
"""
_SAMPLE_HAS = """
    SELECT id FROM (
        SELECT id, username_folded, display_name_folded FROM accounts_user
        WHERE {searchable} ORDER BY id LIMIT {sample_accounts}
    ) AS sample
    WHERE {both_names} LIKE %(part)s ESCAPE '\\'
    ORDER BY username_folded {binary} LIMIT {most_results}
"""
_NAME_HAS = """
    SELECT id FROM (
        SELECT id, username_folded FROM accounts_user
        WHERE {searchable} AND {both_names} LIKE %(part)s ESCAPE '\\' LIMIT {most_sorted}
    ) AS sorted ORDER BY username_folded {binary} LIMIT {most_results}
"""
_SHOWN = """
SELECT id, username, display_name, avatar_url, bio FROM accounts_user WHERE id IN ({candidates})
ORDER BY (username_folded = %(text)s OR display_name_folded = %(text)s) DESC, username_folded {binary}
LIMIT {most_results}
"""

# The planner reckons the matches of a part from a hundred names, so it may take a rare one for a frequent one and
# read all accounts. What is left to it here is the trigram index; without pg_trgm it reads all the same. Sent
# together, these and the statement are one transaction.
_BY_TRIGRAMS = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
"""


@dataclass(frozen=True, slots=True)
class FoundUser:
    """What a search tells about a person; None where they told nothing."""

    id: UUID
    username: str
    display_name: str
    avatar_url: str | None
    bio: str | None


class Match(Enum):
    """What a text has to do with a name, both folded. A name is a username or a display name."""

    USERNAME_IS = _USERNAME_IS
    NAME_BEGINS = _NAME_BEGINS
    """It is the name or begins it. Of over 200 such display names the first 200 count."""
    SAMPLE_HAS = _SAMPLE_HAS
    """It is in a name of one of the 2 000 accounts with the lowest ids, which are random: where 20 of them
    match, so does one in a hundred of all accounts, and the others need not be looked for."""
    NAME_HAS = _NAME_HAS
    """It is in a name. Of over 200 accounts any 200 count."""


def matching(match: Match, text: str) -> list[FoundUser]:
    """At most 20 people who are to be found: those whose name the text is, then the others, each by username.

    One round trip to the database. Raises ``DatabaseError``.
    """
    part = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    parameters = {"text": text, "prefix": f"{part}%", "part": f"%{part}%"}
    with connection.cursor() as cursor:
        cursor.execute(_statement(match), parameters)
        while cursor.description is None:
            cursor.nextset()
        return [
            # SQLite gives an id as text.
            FoundUser(UUID(str(user_id)), username, display_name, avatar_url or None, bio or None)
            for user_id, username, display_name, avatar_url, bio in cursor.fetchall()
        ]


def _statement(match: Match) -> str:
    is_postgresql = connection.vendor == "postgresql"
    parts = {
        "searchable": "discoverable AND is_active AND is_approved",
        # What is indexed. No name and no text has a line's end, so what is found does not reach over it.
        "both_names": "(username_folded || '\n' || display_name_folded)",
        # SQLite compares bytes by itself.
        "binary": 'COLLATE "C"' if is_postgresql else "",
        "most_results": MOST_RESULTS,
        "most_sorted": MOST_SORTED,
        "sample_accounts": SAMPLE_ACCOUNTS,
    }
    settings = _BY_TRIGRAMS if is_postgresql and match is Match.NAME_HAS else ""
    return settings + _SHOWN.format(candidates=match.value.format(**parts), **parts)
