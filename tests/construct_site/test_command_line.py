"""What an operator can mend is told in one line, whichever command it is: no traceback, no address, no password."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from construct_site.env import REPOSITORY
from tests.construct_site.probes import WAIT_S, environment
from tests.construct_site.test_checks import key
from tests.services import free_port

COMMANDS = [("list_sessions", "alice"), ("purge",), ("create_staff", "alice")]
PASSWORD = "correct horse battery"
HEAD = "CommandError: The database "


def start(directory: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=environment(directory, **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(directory: Path, *arguments: str, **settings: str) -> str:
    """The one line of a command that comes to nothing."""
    with start(directory, *arguments, **settings) as process:
        output, line = process.communicate(PASSWORD, WAIT_S * 2)
    assert (process.returncode, output) == (1, "")
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return line.rstrip()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_database_without_tables_is_told_with_its_cure(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert refusal(tmp_path, *command) == f"{HEAD}lacks tables of this version: run manage.py migrate."


def test_a_data_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    line = refusal(
        tmp_path / "nowhere",
        "purge",
        CONSTRUCT_ENVIRONMENT="production",
        CONSTRUCT_SECRET_KEY=secrets.token_urlsafe(64),
        CONSTRUCT_MAILBOX_KEYS=key(),
        CONSTRUCT_DEDUP_KEY=key(),
        CONSTRUCT_HOSTS="chat.example",
    )
    assert line.startswith(f"{HEAD}that CONSTRUCT_DATA_DIR names cannot be used: OperationalError. Is the")
    assert str(tmp_path) not in line


@pytest.mark.parametrize("command", [("purge",), ("migrate",)], ids=lambda command: command[0])
def test_a_database_that_does_not_answer_is_told_without_its_address(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    url = f"postgresql://somebody:{secrets.token_urlsafe(16)}@127.0.0.1:{free_port()}/hidden"
    line = refusal(tmp_path, *command, DATABASE_URL=url)
    assert line.startswith(f"{HEAD}that DATABASE_URL names cannot be used: OperationalError. Is it running")


def test_whoever_asks_for_the_traceback_gets_it(tmp_path: Path) -> None:
    with start(tmp_path, "purge", "--traceback") as process:
        _, written = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert written.startswith("Traceback")


def test_another_kind_of_database_is_refused_before_its_driver_is_looked_for(tmp_path: Path) -> None:
    line = refusal(tmp_path, "purge", DATABASE_URL="mysql://somebody@127.0.0.1/hidden")
    assert line.startswith("The configuration is refused: DATABASE_URL must begin with postgresql://")


def test_damaged_development_keys_are_told(tmp_path: Path) -> None:
    (tmp_path / "development-keys.json").write_text("{")
    line = refusal(tmp_path, "purge")
    assert line.startswith("The configuration is refused: development-keys.json under CONSTRUCT_DATA_DIR is")


@pytest.mark.parametrize("arguments", [("create_staff", "alice"), ("createsuperuser",)])
def test_a_closed_input_is_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    finished = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == "CommandError: The input is closed: there is nobody to ask.\n"


@pytest.mark.parametrize("arguments", [("version",), ("list_sessions", "--help"), ("check",)])
def test_a_reader_who_has_enough_is_no_fault(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with start(tmp_path, *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
