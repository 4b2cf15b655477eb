"""ORM work off the event loop: in threads of its own, with connections that come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, InternalError, connection, transaction
from django.db.transaction import TransactionManagementError

from construct_site.database import DatabaseThread, one_snapshot, run_in_database_thread

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_S = 10


def select(number: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        row: tuple[int] = cursor.fetchone()
        return row[0]


def fail_in_the_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column")


def thread_name() -> str:
    return threading.current_thread().name


async def test_a_function_gets_its_arguments_and_its_result_comes_back() -> None:
    assert await run_in_database_thread(select, number=7) == 7
    assert (await run_in_database_thread(thread_name)).startswith("database")


async def test_what_a_function_raises_reaches_the_caller() -> None:
    with pytest.raises(DatabaseError):
        await run_in_database_thread(fail_in_the_database)
    assert await run_in_database_thread(select, 8) == 8


async def test_a_slow_function_does_not_hold_up_another() -> None:
    released = threading.Event()
    slow = asyncio.ensure_future(run_in_database_thread(released.wait, PATIENCE_S))
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await run_in_database_thread(select, 9) == 9
        assert not slow.done()
    finally:
        released.set()
    assert await slow


async def test_a_cancelled_caller_does_not_stop_the_function() -> None:
    started, released, finished = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        with transaction.atomic():
            started.set()
            released.wait(PATIENCE_S)
        finished.set()

    caller = asyncio.ensure_future(run_in_database_thread(work))
    assert await asyncio.to_thread(started.wait, PATIENCE_S)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    released.set()
    assert await asyncio.to_thread(finished.wait, PATIENCE_S)


def is_connected() -> bool:
    return connection.connection is not None


async def test_a_shared_thread_gives_its_connection_back() -> None:
    def look_after_a_query() -> bool:
        select(1)
        return is_connected()

    assert await run_in_database_thread(look_after_a_query)
    seen = await asyncio.gather(*(run_in_database_thread(is_connected) for _ in range(16)))
    assert not any(seen)


async def test_a_thread_of_its_own_keeps_its_connection() -> None:
    thread = DatabaseThread("keeper")
    try:
        assert await thread.run(select, 1) == 1
        assert await thread.run(is_connected)
        assert (await thread.run(thread_name)).startswith("keeper")
    finally:
        await thread.close()


async def test_calls_on_one_thread_run_one_after_another() -> None:
    thread = DatabaseThread("keeper")
    order: list[int] = []
    try:
        await asyncio.gather(*(thread.run(order.append, number) for number in range(50)))
    finally:
        await thread.close()
    assert order == list(range(50))


def fail_in_the_driver() -> None:
    raise RuntimeError("what the driver raises is no error of Django's")


@pytest.mark.parametrize(
    ("fail", "error"), [(fail_in_the_database, DatabaseError), (fail_in_the_driver, RuntimeError)]
)
async def test_after_a_failure_a_thread_begins_on_a_fresh_connection(
    fail: Callable[[], None], error: type[Exception]
) -> None:
    thread = DatabaseThread("keeper")
    try:
        await thread.run(select, 1)
        with pytest.raises(error):
            await thread.run(fail)
        assert not await thread.run(is_connected)
        assert await thread.run(select, 2) == 2
    finally:
        await thread.close()


READ_ONLY = {
    "postgresql": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SHOW transaction_read_only",
        "on",
    ),
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only", 1),
}
"""What makes a session take no writes, what tells whether it does, and the answer that means so."""


def write_where_no_writes_are_taken() -> None:
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY[connection.vendor][0])
        cursor.execute("CREATE TABLE unwanted (id integer)")


def is_read_only() -> bool:
    _, question, answer = READ_ONLY[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(question)
        return bool(cursor.fetchone()[0] == answer)


async def test_a_session_that_took_no_writes_is_not_used_again() -> None:
    thread = DatabaseThread("keeper")
    try:
        for run in (thread.run, run_in_database_thread):
            with pytest.raises(DatabaseError):
                await run(write_where_no_writes_are_taken)
            assert not any(await asyncio.gather(*(run(is_read_only) for _ in range(16))))
    finally:
        await thread.close()


def add_content_type() -> None:
    ContentType.objects.create(app_label="construct", model=uuid4().hex)


def in_another_thread(function: Callable[[], object]) -> None:
    def work() -> None:
        try:
            function()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "it waits for a lock"


def test_a_snapshot_shows_one_moment_while_others_write() -> None:
    with one_snapshot():
        before = ContentType.objects.count()
        in_another_thread(add_content_type)
        assert ContentType.objects.count() == before
    assert ContentType.objects.count() == before + 1


def test_what_is_written_within_a_snapshot_is_not_kept() -> None:
    before = ContentType.objects.count()
    with suppress(InternalError), one_snapshot():
        add_content_type()
    assert ContentType.objects.count() == before


def test_a_snapshot_ends_when_its_reader_fails() -> None:
    with pytest.raises(DatabaseError, match="no_such_column"), one_snapshot():
        fail_in_the_database()
    with one_snapshot():
        assert select(3) == 3


def test_a_snapshot_is_not_taken_within_a_transaction_which_goes_on() -> None:
    before = ContentType.objects.count()
    with transaction.atomic():
        with pytest.raises(TransactionManagementError), one_snapshot():
            raise AssertionError("entered")
        add_content_type()
    assert ContentType.objects.count() == before + 1


async def test_closing_waits_for_the_calls_that_were_made() -> None:
    thread = DatabaseThread("keeper")
    released = threading.Event()
    call = thread.run(released.wait, PATIENCE_S)
    closing = asyncio.ensure_future(thread.close())
    released.set()
    await closing
    assert call.result()
