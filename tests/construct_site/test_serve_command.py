"""``manage.py serve``: it refuses in words, without a traceback, and serves what it prepared."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from construct_site.env import REPOSITORY
from construct_site.server.sole import refuse_second_process
from tests.construct_site.conftest import Amounts
from tests.construct_site.probes import WAIT_S, environment
from tests.construct_site.test_checks import FORGETFUL, key

PASSWORD = secrets.token_urlsafe(16)


def serve(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a server that will not start, to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *arguments],
        cwd=REPOSITORY,
        env=environment(directory, **settings),
        capture_output=True,
        text=True,
        timeout=WAIT_S * 2,
        check=False,
    )


def assert_refused(finished: subprocess.CompletedProcess[str], reason: str) -> None:
    assert finished.returncode == 1
    assert "CommandError: " in finished.stderr
    assert reason in finished.stderr
    assert "Traceback" not in finished.stderr
    assert "serves" not in finished.stdout


def test_an_unsafe_configuration_is_refused_with_the_whole_list(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, environment="production", secret_key="", hosts=["*"])
    with pytest.raises(CommandError) as refused:
        call_command("serve")
    first, *problems = str(refused.value).splitlines()
    assert first == "This configuration is refused:"
    assert all(problem.startswith("  - ") for problem in problems)
    for named in ("CONSTRUCT_SECRET_KEY", "CONSTRUCT_MAILBOX_KEYS", "CONSTRUCT_DEDUP_KEY", "CONSTRUCT_HOSTS"):
        assert named in str(refused.value)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_may_forget_is_refused() -> None:
    change, undo, named = FORGETFUL[connection.vendor][0]
    with connection.cursor() as cursor:
        cursor.execute(change)
        try:
            with pytest.raises(CommandError, match=named):
                call_command("serve")
        finally:
            cursor.execute(undo)


@pytest.mark.django_db(transaction=True)
def test_a_second_process_without_redis_is_refused(amounts: Amounts) -> None:
    amounts(redis_url="")
    with refuse_second_process(django_settings.CONSTRUCT), pytest.raises(CommandError, match="REDIS_URL"):
        call_command("serve")


def test_production_without_keys_is_refused(tmp_path: Path) -> None:
    assert_refused(serve(tmp_path, CONSTRUCT_ENVIRONMENT="production"), "  - CONSTRUCT_SECRET_KEY is missing")


def test_a_database_without_our_tables_is_refused(tmp_path: Path) -> None:
    assert_refused(serve(tmp_path), "serve once with --migrate")


def test_a_data_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    finished = serve(
        tmp_path / "nowhere",
        CONSTRUCT_ENVIRONMENT="production",
        CONSTRUCT_SECRET_KEY=secrets.token_urlsafe(64),
        CONSTRUCT_MAILBOX_KEYS=key(),
        CONSTRUCT_DEDUP_KEY=key(),
        CONSTRUCT_HOSTS="chat.example",
    )
    assert_refused(finished, "The database that CONSTRUCT_DATA_DIR names cannot be used")


def test_a_database_that_does_not_answer_is_refused_without_its_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    finished = serve(
        tmp_path, "--migrate", DATABASE_URL=f"postgresql://somebody:{PASSWORD}@127.0.0.1:{port}/d"
    )
    assert_refused(finished, "The database that DATABASE_URL names cannot be used")
    assert PASSWORD not in finished.stderr


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        finished = serve(tmp_path, "--migrate", PORT=str(other.getsockname()[1]))
    assert_refused(finished, "HOST and PORT cannot be listened on")


def test_with_migrate_a_new_database_is_prepared_and_served_until_the_end(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--migrate"],
        cwd=REPOSITORY,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:2] == ["Construct", "serves"]
            port = int(words[2].rpartition(":")[2])
            socket.create_connection(("127.0.0.1", port), timeout=WAIT_S).close()
            assert (tmp_path / "construct.sqlite3").exists()
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()
