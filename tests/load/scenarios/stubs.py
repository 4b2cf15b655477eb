"""Scenario 2: the durable relay with a table full of stubs, beside one without."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import LiteralString

import psycopg
from psycopg import sql

from tests.load.measuring import Record, add_up, alternate, ratios
from tests.load.results import Figure, Row
from tests.load.scenarios.loads import connected, durable_on
from tests.load.sizes import Sizes
from tests.load.stage import Stage

TABLE = "messaging_mailboxmessage"
HOURS = 22
"""Stubs are spread over so many hours: housekeeping removes those of more than 24."""
GIB = 1024**3

# MD5 of a counter: as spread as the server's keyed hashes, and ten times faster than the system's randomness.
_STUBS: LiteralString = """
    INSERT INTO messaging_mailboxmessage (name, body, stored_at)
    SELECT decode(md5({seed} || 'name' || number), 'hex'), decode(md5({seed} || 'body' || number), 'hex'),
           date_trunc('hour', now()) - number %% {hours} * interval '1 hour'
    FROM generate_series(1, %s) AS number
"""


@dataclass(frozen=True)
class Filled:
    """What the stubs take, and how long they took to make."""

    bytes: int
    seconds: float


def fill(database_url: str, stubs: int) -> Filled:
    """Store so many stubs with random names: indexes are dropped before, built anew after, and all is analysed."""
    begin = time.monotonic()
    with psycopg.connect(database_url, autocommit=True) as connection:
        remake = _drop_indexes(connection)
        connection.execute(
            sql.SQL(_STUBS).format(seed=sql.Literal(secrets.token_hex(8)), hours=sql.Literal(HOURS)), (stubs,)
        )
        for statement in remake:
            connection.execute(statement.encode())
        connection.execute("VACUUM (ANALYZE) messaging_mailboxmessage")
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (TABLE,)).fetchone()
    assert row is not None
    return Filled(row[0], time.monotonic() - begin)


def _drop_indexes(connection: psycopg.Connection) -> list[str]:
    """Drop them, constraints included; returns the statements that make them again."""
    constraints = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
        (TABLE,),
    ).fetchall()
    remake = [f'ALTER TABLE {TABLE} ADD CONSTRAINT "{name}" {definition}' for name, definition in constraints]
    for name, _ in constraints:
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(TABLE), sql.Identifier(name))
        )
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", (TABLE,)
    ).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return remake + [definition for _, definition in indexes]


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    """Two servers, each on a database of its own in one PostgreSQL, in turn."""
    with stage.construct() as with_stubs, stage.construct() as without, stage.client() as client:
        filled = fill(with_stubs.database_url, sizes.stubs)
        full = durable_on(with_stubs, client, sizes, "durable relay with stubs")
        empty = durable_on(without, client, sizes, "durable relay without stubs")
        with connected(full), connected(empty):
            alternate(sizes.rounds, {each.name: partial(each.run, sizes) for each in (empty, full)})
    rounds = ratios(full.delivered_per_s, empty.delivered_per_s)
    full.record(record, "message, with stubs in the table")
    empty.record(record, "message, without stubs")
    record.row(
        Row(
            scenario="2",
            title=f"Durable relay with {sizes.stubs / 1e6:g} million stubs in the table ÷ without",
            value=median(rounds),
            unit="",
            must=0.85,
            aim=0.97,
            rounds=rounds,
            figures=[
                *(Figure(each.name, median(each.delivered_per_s), "/s") for each in (full, empty)),
                Figure("table and indexes", filled.bytes / GIB, "GiB"),
                Figure("made in", filled.seconds, "s"),
            ],
            faults=add_up([full.faults, empty.faults]),
        )
    )
