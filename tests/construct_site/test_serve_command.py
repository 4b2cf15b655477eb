"""``manage.py serve``: it refuses in words, without a traceback, and serves what it prepared."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
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


def serve(
    directory: Path, *arguments: str, pass_fds: Collection[int] = (), **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a server that will not start, to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *arguments],
        cwd=REPOSITORY,
        env=environment(directory, **settings),
        capture_output=True,
        text=True,
        timeout=WAIT_S * 2,
        check=False,
        pass_fds=tuple(pass_fds),
    )


@contextmanager
def serving(
    directory: Path, *arguments: str, pass_fds: Collection[int] = (), **settings: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that said where it serves: its process, and the address that it said. Killed at the end."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--migrate", *arguments],
        cwd=REPOSITORY,
        env=environment(directory, **settings),
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=tuple(pass_fds),
        # Whoever started the tests may ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:2] == ["Construct", "serves"]
            yield process, words[2].removeprefix("http://")
        finally:
            process.kill()


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


def test_a_policy_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    finished = serve(tmp_path, CONSTRUCT_POLICY="no_such_module.Policy")
    assert_refused(
        finished, "  - CONSTRUCT_POLICY names a class that cannot be imported: ModuleNotFoundError"
    )


def test_no_other_server_loads_the_application_with_it(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", "import construct_site.asgi"],
        cwd=REPOSITORY,
        env=environment(tmp_path, CONSTRUCT_POLICY="accounts.policy.Policy"),
        capture_output=True,
        text=True,
        timeout=WAIT_S * 2,
        check=False,
    )
    assert finished.returncode == 1
    assert "CONSTRUCT_POLICY names a class that does not answer everything" in finished.stderr


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
    with serving(tmp_path) as (process, address):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=WAIT_S).close()
        assert (tmp_path / "construct.sqlite3").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_that_is_handed_over_is_served_and_left_open(host: str, tmp_path: Path) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        # PORT says something else: it does not count.
        with serving(tmp_path, f"--fd={fd}", pass_fds=[fd], PORT="1") as (process, address):
            assert address == (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            assert status(host, port) == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
        with socket.create_connection((host, port), timeout=WAIT_S):
            listener.settimeout(WAIT_S)
            listener.accept()[0].close()


def status(host: str, port: int) -> int:
    """The HTTP status of a page that is there."""
    connection = HTTPConnection(host, port, timeout=WAIT_S)
    try:
        connection.request("GET", "/admin/login/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_socket_that_is_open_to_the_world_is_refused_in_development(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104 - nobody accepts from it
        fd = listener.fileno()
        assert_refused(serve(tmp_path, f"--fd={fd}", pass_fds=[fd]), "HOST is not a loopback address")


def test_a_descriptor_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert_refused(serve(tmp_path, "--fd=99"), "--fd 99 is no socket.")
    assert_refused(serve(tmp_path, "--fd=-1"), "--fd -1 is no socket.")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["not listening", "UNIX"])
def test_a_socket_that_takes_no_tcp_connections_is_refused(
    family: socket.AddressFamily, tmp_path: Path
) -> None:
    with socket.socket(family) as other:
        if family == socket.AF_UNIX:
            other.bind(str(tmp_path / "socket"))
            other.listen()
        fd = other.fileno()
        assert_refused(serve(tmp_path, f"--fd={fd}", pass_fds=[fd]), f"--fd {fd} is no listening TCP socket.")


def test_several_workers_without_redis_are_refused(tmp_path: Path) -> None:
    assert_refused(serve(tmp_path, "--migrate", "--workers", "2"), "Several workers need REDIS_URL")
    assert not (tmp_path / "construct.sqlite3").exists()


@pytest.mark.parametrize("number", ["0", "65", "-1", "two", "1.5"])
def test_a_number_of_workers_that_cannot_be_is_refused(number: str, tmp_path: Path) -> None:
    finished = serve(tmp_path, f"--workers={number}")
    assert finished.returncode == 2
    assert "argument --workers: a number from 1 to 64 is needed" in finished.stderr


def test_a_socket_that_is_handed_over_is_not_shared_again(tmp_path: Path) -> None:
    finished = serve(tmp_path, "--workers=2", "--fd=3")
    assert finished.returncode == 2
    assert "not allowed with argument" in finished.stderr


def test_one_worker_is_one_process(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers=1") as (process, _):
        assert Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text() == ""
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
