"""What readiness looks at, what it answers, and that asking often costs no more than asking once a second."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import Settings
from structlog.testing import capture_logs

from construct_site import health, notices
from construct_site.errors import ErrorCode
from construct_site.health import Check, Health, Results
from tests.construct_site.test_checks import FORGETFUL
from tests.services import free_port

SLACK = 3
WELL = {"database": "ok", "durability": "ok", "migrations": "ok", "channelLayer": "ok", "server": "ok"}
ABSENT = {"thing": "failed"}
PRESENT = {"thing": "ok"}


@pytest.fixture(autouse=True)
def _no_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "NOTICES", ())


@pytest.fixture
async def application() -> AsyncIterator[Health]:
    made = Health()
    yield made
    await made.close()


async def ask(
    application: Health, path: str = "/health/ready", method: str = "GET", *extensions: str
) -> tuple[int, dict[bytes, bytes], Any]:
    """The status, the headers and the decoded body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("a question has no body")

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {"type": "http", "method": method, "path": path, "extensions": {name: {} for name in extensions}}
    await application(scope, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), json.loads(body["body"])


@pytest.mark.django_db(transaction=True)
async def test_a_process_with_all_that_it_needs_is_ready(application: Health) -> None:
    status, headers, body = await ask(application)
    assert (status, body) == (200, {"status": "ready", "checks": WELL, "warnings": []})
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"cache-control"] == b"no-store"


@pytest.mark.django_db(transaction=True)
async def test_an_ending_server_is_not_ready(application: Health) -> None:
    status, _, body = await ask(application, "/health/ready", "GET", "http.draining")
    assert (status, body["status"], body["checks"]) == (503, "unready", {**WELL, "server": "draining"})


@pytest.mark.django_db(transaction=True)
async def test_without_its_channel_layer_a_process_is_degraded_and_ready(
    application: Health, settings: Settings
) -> None:
    away = {"hosts": [f"redis://127.0.0.1:{free_port()}"]}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "messaging.layer.DoorbellLayer", "CONFIG": away}}
    status, _, body = await ask(application)
    assert (status, body["status"], body["checks"]) == (200, "ready", {**WELL, "channelLayer": "degraded"})


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_was_not_applied_is_seen() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("accounts", "0001_initial")
    try:
        assert health._look_at_database()["migrations"] == "failed"
    finally:
        recorder.record_applied("accounts", "0001_initial")
    assert health._look_at_database()["migrations"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_a_migration_of_later_code_does_no_harm() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("accounts", "9999_of_tomorrow")
    try:
        assert health._look_at_database()["migrations"] == "ok"
    finally:
        recorder.record_unapplied("accounts", "9999_of_tomorrow")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("change", "undo"), [row[:2] for row in FORGETFUL[connection.vendor]])
def test_a_database_that_may_forget_a_commit_is_seen(change: str, undo: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change)
        try:
            assert health._look_at_database() == {
                "database": "ok",
                "durability": "failed",
                "migrations": "ok",
            }
        finally:
            cursor.execute(undo)


async def test_a_process_lives_whatever_it_lacks(application: Health) -> None:
    assert (await ask(application, "/health/live"))[::2] == (200, {"status": "live"})


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_is_only_read(application: Health, path: str) -> None:
    status, headers, body = await ask(application, path, "POST")
    assert (status, body["code"]) == (405, ErrorCode.METHOD_NOT_ALLOWED)
    assert headers[b"allow"] == b"GET, HEAD"


class Thing:
    """Something that is asked how it is, and how often it was."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_broken = False

    async def ask(self) -> Results:
        self.asked += 1
        await self.answers.wait()
        if self.is_broken:
            raise ConnectionError("at 192.0.2.7")
        return PRESENT


async def test_many_questions_in_a_second_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Thing()
    check = Check(thing.ask, ABSENT)
    assert await asyncio.gather(*(check.results() for _ in range(50))) == [PRESENT] * 50
    assert await check.results() == PRESENT
    assert thing.asked == 1
    monkeypatch.setattr(health, "KEPT_S", 0.0)
    assert await check.results() == PRESENT
    assert thing.asked == 2


async def test_what_does_not_answer_has_failed_after_2_s_and_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thing = Thing()
    thing.answers.clear()
    check = Check(thing.ask, ABSENT)
    begin = time.monotonic()
    assert await asyncio.gather(*(check.results() for _ in range(50))) == [ABSENT] * 50
    assert time.monotonic() - begin < SLACK * health.ANSWER_S
    begin = time.monotonic()
    assert await check.results() == ABSENT
    assert time.monotonic() - begin < 1, "only the first question waits"
    assert thing.asked == 1
    thing.answers.set()
    monkeypatch.setattr(health, "KEPT_S", 0.0)
    await asyncio.sleep(0)
    assert await check.results() == PRESENT


async def test_a_failure_is_logged_when_it_begins_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KEPT_S", 0.0)
    thing = Thing()
    check = Check(thing.ask, ABSENT)
    with capture_logs() as logged:
        for thing.is_broken in (False, True, True, False, True):
            assert await check.results() == (ABSENT if thing.is_broken else PRESENT)
    assert len(logged) == 2
    assert "192.0.2.7" not in str(logged)


async def test_at_the_end_nothing_is_asked_any_more() -> None:
    thing = Thing()
    thing.answers.clear()
    check = Check(thing.ask, ABSENT)
    asking = asyncio.ensure_future(check.results())
    await asyncio.sleep(0)
    await check.close()
    assert await asking == ABSENT
