"""Without Redis there is no doorbell between processes: a second one on the same database would not be heard."""

from __future__ import annotations

import fcntl
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from construct_site.env import Config

_LOCK = 0x636F6E73  # "cons": the advisory lock that a process without Redis holds while it serves
_REFUSAL = (
    "Another server process uses this database. Several need REDIS_URL, or recipients would not be rung."
)

_held: list[bool] = []


def refuse_second_process(config: Config) -> AbstractContextManager[object]:
    """Hold the database for this process alone until the returned context ends.

    With ``REDIS_URL`` nothing is held. Raises ``ImproperlyConfigured`` if another
    process holds it; a process that dies, however it does, holds nothing.
    """
    held = ExitStack()
    if not config.redis_url:
        take = _take_advisory_lock if connection.vendor == "postgresql" else _take_file_lock
        held.enter_context(take())
        _held.append(True)
        held.callback(_held.clear)
    return held


def is_held() -> bool:
    """Whether this process holds the database for itself."""
    return bool(_held)


def _take_advisory_lock() -> AbstractContextManager[object]:
    session = psycopg.connect(**connection.get_connection_params(), autocommit=True)
    row = session.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    if not row or not row[0]:
        session.close()
        raise ImproperlyConfigured(_REFUSAL)
    return session


def _take_file_lock() -> AbstractContextManager[object]:
    database = Path(connection.settings_dict["NAME"])
    file: IO[str] = database.with_name(database.name + ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ImproperlyConfigured(_REFUSAL) from None
    return file
