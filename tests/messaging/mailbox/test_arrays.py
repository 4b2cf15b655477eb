"""Arrays as a real PostgreSQL reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from messaging.mailbox.arrays import Array, ByteaArray, Int8Array, UuidArray, teach

Session = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def session(postgresql_url: str) -> Iterator[Session]:
    with psycopg.connect(postgresql_url) as connection:
        teach(connection)
        teach(connection)
        yield connection


def read_back(session: Session, array: Array, kind: str) -> list[Any]:
    row = session.execute(f"SELECT %b::{kind}[]".encode(), [array]).fetchone()
    assert row is not None
    elements: list[Any] = row[0]
    return elements


@pytest.mark.parametrize(
    "elements",
    [
        [],
        [b""],
        [bytes(range(256))],
        [b"a", b"", bytes(100_000), b"z"],
        [bytes([each]) for each in range(200)],
    ],
    ids=["empty", "an empty element", "every byte", "of many lengths", "many"],
)
def test_bytes(session: Session, elements: list[bytes]) -> None:
    assert read_back(session, ByteaArray(elements), "bytea") == elements


@pytest.mark.parametrize("count", [0, 1, 100])
def test_uuids(session: Session, count: int) -> None:
    elements: list[UUID] = [uuid4() for _ in range(count)]
    assert read_back(session, UuidArray(elements), "uuid") == elements


def test_integers(session: Session) -> None:
    elements = [0, 1, -1, 2**31, 2**63 - 1, -(2**63)]
    assert read_back(session, Int8Array(elements), "int8") == elements
    assert read_back(session, Int8Array([]), "int8") == []


def test_an_integer_that_has_no_room_is_refused() -> None:
    with pytest.raises(OverflowError):
        Int8Array([2**63])
