"""A machine gets a browser only if it has none, and is told in one line what is missing if it cannot get it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser import chromium

INSTALL = f"install --yes --no-install-recommends {' '.join(chromium.PACKAGES)}"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one directory in which programs are found: empty."""
    monkeypatch.setattr(chromium, "PROGRAMS", ("chromium", "google-chrome"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def place(program: Path, script: str = "") -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def place_apt(programs: Path, *, exit_code: int = 0) -> Path:
    """An apt-get that writes down what it is asked for; the file."""
    asked = programs / "asked"
    place(programs / "apt-get", f'echo "$@" >> {asked}; exit {exit_code}')
    return asked


def as_user(monkeypatch: pytest.MonkeyPatch, user_id: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user_id)


@pytest.mark.parametrize("name", ["chromium", "google-chrome"])
def test_nothing_is_installed_where_a_browser_is_found(
    programs: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    as_user(monkeypatch, 0)
    asked = place_apt(programs)
    place(programs / name)
    chromium.main()
    assert not asked.exists()
    assert chromium.path() == str(programs / name)


def test_root_on_debian_installs_the_packages(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    asked = place_apt(programs)
    chromium.main()
    update, install = asked.read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(f" {INSTALL}")


@pytest.mark.parametrize(
    ("has_apt", "user_id"), [(False, 0), (True, 1000), (False, 1000)], ids=["no-apt", "no-root", "neither"]
)
def test_everybody_else_is_told_in_one_line(
    programs: Path, monkeypatch: pytest.MonkeyPatch, has_apt: bool, user_id: int
) -> None:
    as_user(monkeypatch, user_id)
    asked = place_apt(programs) if has_apt else programs / "asked"
    with pytest.raises(SystemExit) as ended:
        chromium.main()
    assert ended.value.code == chromium.MISSING
    assert "\n" not in chromium.MISSING
    assert not asked.exists()


def test_an_installation_that_fails_is_told(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    place_apt(programs, exit_code=100)
    with pytest.raises(SystemExit) as ended:
        chromium.main()
    assert ended.value.code == chromium.MISSING


def test_without_a_browser_a_test_of_pages_fails_and_says_why(programs: Path) -> None:
    with pytest.raises(RuntimeError, match="apt-get install chromium"):
        chromium.path()


@pytest.mark.parametrize(("user_id", "has_sandbox"), [(0, False), (1000, True)])
def test_only_root_goes_without_the_sandbox(
    monkeypatch: pytest.MonkeyPatch, user_id: int, has_sandbox: bool
) -> None:
    as_user(monkeypatch, user_id)
    assert chromium.has_sandbox() is has_sandbox
