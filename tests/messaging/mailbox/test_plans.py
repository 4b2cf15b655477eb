"""A batch finds what it needs by an index. Its plan is made once, maybe on empty tables, and kept while they grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from messaging.mailbox import postgresql, sqlite
from messaging.mailbox.letters import Caps
from messaging.mailbox.store import BUNDLE_TABLE, CONTACT_TABLE, POLICY_TABLE, TABLE, USER_TABLE
from tests.messaging.mailbox.conftest import make_letter

TABLES = {TABLE, BUNDLE_TABLE, USER_TABLE, POLICY_TABLE, CONTACT_TABLE}
SQLITE_STATEMENTS = (
    sqlite._KNOWN,
    sqlite._SHARES,
    sqlite._EARLIER,
    sqlite._POLICIES,
    sqlite._CONTACTS,
    sqlite._REQUESTS,
)
Reads = dict[str, set[str]]
"""By table: the indexes that it is looked up in, and ``all`` where it is read from end to end."""


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _postgresql(caps: Caps, recipient: UUID) -> Reads:
    # The worst that the planner can believe of a table: that it is known to be empty.
    for table in (TABLE, POLICY_TABLE, CONTACT_TABLE):
        postgresql._run(f"ANALYZE {table}", ())
    # Of the accounts nothing, as of a table that was just made; earlier tests may have left it what they knew.
    unknown = f"UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE oid = '{USER_TABLE}'::regclass"  # noqa: S608
    postgresql._run(unknown, ())
    parameters = next(postgresql._storing([make_letter(recipient)], caps, timezone.now()))
    ((plan,),) = postgresql._run(f"EXPLAIN (FORMAT JSON) {postgresql._PUT}", parameters)
    reads: Reads = {table: set() for table in TABLES}
    for node in _nodes(plan[0]["Plan"]):
        if node["Node Type"].endswith("Scan") and node.get("Relation Name") in TABLES:
            reads[node["Relation Name"]].add(node["Index Name"] if "Index Cond" in node else "all")
    return reads


def _sqlite(_caps: Caps, recipient: UUID) -> Reads:
    reads: Reads = {table: set() for table in TABLES}
    with connection.cursor() as cursor:
        for statement in SQLITE_STATEMENTS:
            users = [f'["{recipient.hex}"]'] * statement.count("%s")
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", users)
            for *_, step in cursor.fetchall():
                table = next((table for table in TABLES if table in step.split()), None)
                if table is not None:
                    _, _, index = step.partition(" INDEX ")
                    reads[table].add(index.split()[0] if step.startswith("SEARCH") else "all")
    return reads


READS: dict[str, Callable[[Caps, UUID], Reads]] = {"postgresql": _postgresql, "sqlite": _sqlite}
PENDING = {"postgresql": "user_pending", "sqlite": f"sqlite_autoindex_{USER_TABLE}_1"}
"""Where it is found who waits for approval; SQLite prefers the primary key."""


@pytest.mark.usefixtures("transactional_db")
def test_a_batch_reads_no_table_from_end_to_end(caps: Caps, recipient: UUID) -> None:
    reads = READS[connection.vendor](caps, recipient)
    assert all(reads.values())
    assert not [table for table, ways in reads.items() if "all" in ways]
    assert reads[USER_TABLE] == {PENDING[connection.vendor]}
