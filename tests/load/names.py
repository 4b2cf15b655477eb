"""Accounts with names like people's, for a search among many of them. They have no keys and cannot log in."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from psycopg import sql

from accounts.folding import fold


def _words(text: str) -> Sequence[str]:
    return text.split()


GIVEN = _words("""
    Maria Anna John Mohammed Wei Olga Peter Sofia Ivan Fatima James Yuki Lena Carlos Amina David Ingrid Ahmed Emma
    Luca Nadia Thomas Priya Daniel Chloe Omar Hannah Pavel Grace Diego Aisha Simon Elena Kofi Marta Hugo Leila Victor
    Nina Samuel José Zoë Иван 美咲 Ngozi Arjun Freya Mateo Sana Björn Alice Bruno Clara Dmitri Esther Felix Gabriel
    Helen Isaac Julia Kevin Laura Martin Noah
""")
FAMILY = _words("""
    Smith Johnson Müller Garcia Kim Nguyen Ivanova Rossi Silva Khan Schmidt Andersson Tanaka Brown Hernandez Dubois
    Cohen Okafor Nowak Hansen Patel Williams Jones Taylor Lopez Martin Jackson Thompson White Harris Lewis Robinson
    Walker Young Allen King Wright Scott Torres Hill Green Adams Baker Nelson Mitchell Carter Roberts Gomez Phillips
    Evans Turner Diaz Parker Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutierrez
""")
SYLLABLES = _words("""
    ba ka mi ro te lu sha dor vin zel qua nix fro gal hes jin kru lom mar nov pol ris sed tur uly vex wol xan yor zim
    ark bel cas dun elf fen gor hal ith jor
""")
HIDING_SHARE = 0.15
COLUMNS = _words("""
    id username username_folded display_name display_name_folded discoverable password bio avatar_url is_active
    is_staff is_superuser created_at
""")
CONSTANTS = ("!" + "x" * 96, "", "", True, False, False, datetime(2026, 1, 1, tzinfo=UTC))
"""The last columns. The password is as long as a hash."""

Name = tuple[str, str]
"""Username and display name."""


def names(count: int, first: int = 0) -> Iterator[Name]:
    """The same each time. Usernames end in a number from `first` on, for they are unique."""
    draw = random.Random(0)
    for number in range(first, first + count):
        given, family = _often_the_first(draw, GIVEN), _often_the_first(draw, FAMILY)
        word = "".join(draw.choices(SYLLABLES, k=3))
        username = draw.choice(
            (
                f"{given}_{family}{number}",
                f"{given}{number}",
                f"{family}-{given[0]}{number}",
                f"{given[0]}{family}{number}",
                f"{word}{number}",
                f"{word}_{given}{number}",
            )
        )
        if not username.isascii():
            username = f"{word}{number}"
        yield username, draw.choice((username, f"{word} {given}", f"{given} {family}", f"{given} {family}"))


def _often_the_first(draw: random.Random, all_of_them: Sequence[str]) -> str:
    """As with people's names: of 64 the first is drawn once in 8 times, the last once in 127."""
    return all_of_them[int(draw.random() ** 2 * len(all_of_them))]


def store(database_url: str, people: Iterator[Name], seed: int = 1) -> None:
    """Store them, some hidden, under ids that follow from `seed`.

    Indexes that are no constraint's are dropped before and built anew after.
    """
    draw = random.Random(seed)
    with psycopg.connect(database_url, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'accounts_user'"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = 'accounts_user'::regclass)"
        ).fetchall()
        for index, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(index)))
        columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        with (
            connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY accounts_user ({}) FROM STDIN").format(columns)) as rows,
        ):
            for username, display_name in people:
                names_of_it = (username, fold(username), display_name, fold(display_name))
                is_found = draw.random() > HIDING_SHARE
                rows.write_row((UUID(int=draw.getrandbits(128)), *names_of_it, is_found, *CONSTANTS))
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM (ANALYZE) accounts_user")
        connection.execute("CHECKPOINT")
