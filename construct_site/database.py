"""ORM work from the event loop: a small pool of threads of our own. Reading from one snapshot.

asgiref's thread-sensitive executor is one thread for the whole process; there a
slow search would hold up every login.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import (
    InterfaceError,
    InternalError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
)
from django.db.transaction import TransactionManagementError

P = ParamSpec("P")
T = TypeVar("T")

DATABASE_THREADS = 4
database_threads = ThreadPoolExecutor(max_workers=DATABASE_THREADS, thread_name_prefix="database")


async def run_in_database_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a synchronous service function in a database thread and return what it returns.

    A cancelled caller does not stop the function: its transaction ends either way.
    """
    return await asyncio.get_running_loop().run_in_executor(
        database_threads, partial(_with_connection_returned, partial(function, *args, **kwargs))
    )


def _with_connection_returned(function: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return function()
    except (InterfaceError, InternalError, OperationalError):
        _end_connections()
        raise
    finally:
        close_old_connections()


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Everything read within is of one moment, that of the first query; nothing is to be written.

    No lock is held: on SQLite, where Django's own transactions take the write lock, others write meanwhile.
    Raises ``TransactionManagementError`` within a transaction: its end must not be this one's.
    """
    if connection.in_atomic_block:
        raise TransactionManagementError("a snapshot of one's own is taken outside transactions")
    is_postgresql = connection.vendor == "postgresql"
    _execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if is_postgresql else "BEGIN DEFERRED")
    try:
        yield
    finally:
        _execute("ROLLBACK")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


class DatabaseThread:
    """One thread with one database connection that it keeps, for work that repeats all the time.

    Calls run one after another. After a failure the connection is ended, so that
    the next call begins on a fresh one.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Run a synchronous function in the thread; the future gives what it returns or raises."""
        return asyncio.get_running_loop().run_in_executor(
            self._executor, partial(_with_connection_kept, partial(function, *args, **kwargs))
        )

    async def close(self) -> None:
        """Wait for the calls that were made, and give the connection back."""
        await asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown()


def _with_connection_kept(function: Callable[[], T]) -> T:
    try:
        return function()
    except Exception:
        # Whatever failed: a connection in an unknown state is never used again.
        _end_connections()
        raise


def _end_connections() -> None:
    """End this thread's connections at the database, not only here.

    The pool hands out again what it is given back open; a session that the database
    made read-only would stay so after the database takes writes again.
    """
    for each in connections.all(initialized_only=True):
        if each.connection is not None:
            each.connection.close()
    connections.close_all()
