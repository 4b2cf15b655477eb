"""How PostgreSQL would carry out what a test saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db import connection, transaction


def plans_of(queries: Iterable[dict[str, str]]) -> Iterator[str]:
    """How PostgreSQL would find the rows of each, under the settings that were sent with it."""
    for query in queries:
        *settings_of_it, select = query["sql"].split(";")
        with transaction.atomic(), connection.cursor() as cursor:
            for each in settings_of_it:
                cursor.execute(each)
            cursor.execute(f"EXPLAIN {select}")
            yield "\n".join(line for (line,) in cursor.fetchall())
