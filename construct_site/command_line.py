"""Django's command line, with what an operator can mend told in one line in the place of a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import django.db
import psycopg
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection

from construct_site.env import Config, InvalidConfiguration, variable

DATABASE_ERRORS = (django.db.Error, psycopg.Error)
_TRACEBACK = "--traceback"
"""Django's option: whoever gives it wants to see the error itself."""


def run(arguments: Sequence[str]) -> None:
    """Run the command of these arguments, the program's name first. A refusal exits with code 1."""
    try:
        try:
            execute_from_command_line(list(arguments))
        finally:
            # Here and not at the interpreter's end, where nobody would catch what it raises.
            sys.stdout.flush()
    except InvalidConfiguration as error:
        sys.exit(f"The configuration is refused: {error}")
    except BrokenPipeError:
        # Whoever read has enough (`head`). What is still buffered goes nowhere, without a complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except DATABASE_ERRORS as error:
        if _TRACEBACK in arguments:
            raise
        sys.exit(f"CommandError: {_database_trouble(error)}")


def unusable_database(error: Exception) -> str:
    """Two sentences. Without the error's own text, which names the database's host and user."""
    config: Config = settings.CONSTRUCT
    named_by, advice = (
        (variable("database_url"), "Is it running, and is the address right?")
        if config.database_url
        else (variable("data_dir"), "Is the directory there, and may this user write to it?")
    )
    return f"The database that {named_by} names cannot be used: {type(error).__name__}. {advice}"


def _database_trouble(error: Exception) -> str:
    from construct_site.checks import is_migrated

    cause = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
    if isinstance(cause, psycopg.Error) and cause.sqlstate is None:
        # It never answered. To ask it again would take as long.
        return unusable_database(error)
    connection.close()
    try:
        if not is_migrated():
            return "The database lacks tables of this version: run manage.py migrate."
    except DATABASE_ERRORS:
        return unusable_database(error)
    return f"The database did not do it: {type(error).__name__}. {_TRACEBACK} shows where."
