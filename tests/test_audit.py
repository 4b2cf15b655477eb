"""What `make audit` makes of pip-audit's reports, whose shapes are those of version 2.10.1."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.audit import LOCKS, Outcome, audit, judge

CLEAN = {"name": "asgiref", "version": "3.13.0", "vulns": []}
VULNERABLE = {
    "name": "flask",
    "version": "0.5",
    "vulns": [
        {
            "id": "PYSEC-2019-179",
            "fix_versions": ["1.0"],
            "aliases": ["CVE-2019-1010083", "GHSA-5wv5-4vpf-pj6m"],
            "description": "Unexpected memory usage.",
        },
        {"id": "PYSEC-2018-66", "fix_versions": [], "aliases": [], "description": ""},
    ],
}
SKIPPED = {
    "name": "attrs",
    "skip_reason": "Dependency not found on PyPI and could not be audited: attrs (26.1.0)",
}
NOTHING_CHECKED = "no advisory source could be reached: nothing was checked"


def report(*packages: dict[str, Any]) -> bytes:
    return json.dumps({"dependencies": packages, "fixes": []}).encode()


def test_packages_against_which_nothing_is_known_pass() -> None:
    assert judge(report(CLEAN, CLEAN)) == (Outcome.NOTHING_KNOWN, [])


def test_each_advisory_is_told_with_the_version_that_mends_it() -> None:
    assert judge(report(CLEAN, VULNERABLE)) == (
        Outcome.KNOWN,
        ["flask 0.5: PYSEC-2019-179, fixed in: 1.0", "flask 0.5: PYSEC-2018-66, fixed in: none yet"],
    )


@pytest.mark.parametrize(
    "answer",
    [report(SKIPPED, SKIPPED), report(), b"", b"Traceback (most recent call last):", b"[]", b'{"fixes": []}'],
    ids=["all skipped", "no packages", "nothing", "no JSON", "another form", "no list"],
)
def test_a_report_of_nothing_is_no_pass(answer: bytes) -> None:
    assert judge(answer) == (Outcome.NOT_CHECKED, [NOTHING_CHECKED])


def test_one_skipped_package_is_no_pass_either() -> None:
    assert judge(report(CLEAN, SKIPPED)) == (Outcome.NOT_CHECKED, ["not checked: attrs"])


def test_what_is_known_counts_more_than_what_is_skipped() -> None:
    outcome, lines = judge(report(VULNERABLE, SKIPPED))
    assert outcome is Outcome.KNOWN
    assert lines[-1] == "not checked: attrs"


@pytest.mark.parametrize(
    ("run", "development", "outcome"),
    [
        (CLEAN, CLEAN, Outcome.NOTHING_KNOWN),
        (CLEAN, VULNERABLE, Outcome.KNOWN),
        (VULNERABLE, SKIPPED, Outcome.KNOWN),
        (CLEAN, SKIPPED, Outcome.NOT_CHECKED),
    ],
)
def test_the_exit_code_is_that_of_the_worse_lock_file(
    run: dict[str, Any], development: dict[str, Any], outcome: Outcome
) -> None:
    reports = dict(zip(LOCKS, (report(run), report(development)), strict=True))
    assert audit(ask=lambda lock, _source: reports[lock]) is outcome


def test_the_exit_codes_are_told_apart() -> None:
    assert [int(each) for each in Outcome] == [0, 1, 2]


def test_a_source_that_is_away_is_followed_by_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    reports = {"pypi": report(SKIPPED), "osv": report(CLEAN)}
    assert audit(LOCKS[:1], lambda _lock, source: reports[source]) is Outcome.NOTHING_KNOWN
    assert capsys.readouterr().out == (
        "requirements.lock: nothing is known against any of its packages (osv)\n"
    )


def test_without_any_source_it_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(LOCKS[:1], lambda *_: b"") is Outcome.NOT_CHECKED
    assert capsys.readouterr().out == f"requirements.lock: {NOTHING_CHECKED}\n"
