"""What the log shows of an error: its class and place, never its text; and in which form."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from construct_site import logs

SECRET = "hunter2-the-secret"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process's: put everything back as it was."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def production_log(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Configure for production; called, the result gives what was logged since.

    Not a fixture: pytest puts its own handlers back between a test's set-up and its call.
    """
    logs.configure("INFO", as_json=True)
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def fail() -> None:
    raise ValueError(SECRET)


def caught() -> ValueError:
    try:
        fail()
    except ValueError as error:
        return error
    raise AssertionError("unreachable")


def test_an_error_is_described_by_its_class_and_the_place_where_it_arose() -> None:
    line = fail.__code__.co_firstlineno + 1
    assert logs.describe_error(caught()) == f"ValueError in {__name__}, line {line}"


def test_an_error_that_was_never_raised_is_described_by_its_class() -> None:
    assert logs.describe_error(KeyError(SECRET)) == "KeyError"


def test_production_logs_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = production_log(capsys)
    structlog.get_logger("construct_site.example").warning("many\nlines", count=3)
    logging.getLogger("some.library").error("said %s", "this")
    ours, theirs = lines()
    assert (ours["event"], ours["count"], ours["level"]) == ("many\nlines", 3, "warning")
    assert ours["logger"] == "construct_site.example"
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("said this", "error", "some.library")
    assert ours["timestamp"].endswith("Z")


def test_development_logs_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", as_json=False)
    structlog.get_logger("construct_site.example").warning("in words", count=3)
    logged = capsys.readouterr().err
    assert "in words" in logged
    assert "count=3" in logged
    assert "\x1b" not in logged


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    lines = production_log(capsys)
    structlog.get_logger("construct_site.example").debug("too small")
    assert lines() == []


@pytest.mark.parametrize("as_json", [True, False])
def test_no_traceback_and_no_text_of_an_error_is_logged(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO", as_json=as_json)
    try:
        fail()
    except ValueError as error:
        logging.getLogger("daphne.server").error("Exception inside application: %s", error, exc_info=error)
        logging.getLogger("asyncio").error("future: %r", error, exc_info=True)
        logging.getLogger("asyncio").error("future: %r", error, exc_info=True, stack_info=True)
        structlog.get_logger("construct_site.example").exception("our own words")
    logged = capsys.readouterr().err
    assert len(logged.splitlines()) == 4
    assert "Traceback" not in logged
    assert "File " not in logged
    assert SECRET not in logged
    assert logged.count(f"ValueError in {__name__}, line ") == 4
    assert "our own words" in logged


def test_daphnes_warnings_do_not_name_connections(capsys: pytest.CaptureFixture[str]) -> None:
    lines = production_log(capsys)
    daphne = logging.getLogger("daphne.server")
    daphne.info("Listening on TCP address %s:%s", "192.0.2.7", 3000)
    daphne.warning("Application instance %r for connection %s took too long", object(), "client=192.0.2.7")
    (warning,) = lines()
    assert "took too long" in warning["event"]
    assert "192.0.2.7" not in str(warning)


@pytest.mark.parametrize(
    "name",
    [
        "daphne.http_protocol",
        "daphne.ws_protocol",
        "django.request",
        "django.security.DisallowedHost",
        "django.security.csrf",
    ],
)
def test_loggers_that_name_requests_are_silent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = production_log(capsys)
    logging.getLogger(name).error("GET /admin/?q=%s from %s", SECRET, "192.0.2.7")
    assert lines() == []
