"""The command's own decisions; tests/live plays the demonstration on the real server."""

from __future__ import annotations

import dataclasses
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from messaging.management.demo_server import DemoServerFailed, demo_server, takes_connections
from tests.messaging.client.scripted_server import scripted_server
from tests.services import free_port


def _run(*arguments: str) -> str:
    output = StringIO()
    call_command("demo", *arguments, stdout=output)
    return output.getvalue()


def test_a_second_server_needs_a_first() -> None:
    with pytest.raises(CommandError, match="--other-url needs --url"):
        _run("--other-url", "ws://127.0.0.1:1")


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "http://127.0.0.1:1", "nonsense"])
def test_a_server_that_cannot_be_reached_fails_the_demonstration(url: str) -> None:
    with pytest.raises(CommandError, match="The demonstration failed: ConnectionLost"):
        _run("--url", url)


def test_in_production_no_server_is_started(settings: Settings) -> None:
    settings.CONSTRUCT = dataclasses.replace(settings.CONSTRUCT, environment="production", port=free_port())
    with pytest.raises(CommandError, match="name one with --url"):
        _run()


def test_a_server_that_ends_at_once_is_a_failure_that_names_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSTRUCT_NO_SUCH_SETTING", "1")
    log = tmp_path / "server.log"
    with pytest.raises(DemoServerFailed, match=r"server\.log"), demo_server(log):
        pass
    assert "CONSTRUCT_NO_SUCH_SETTING" in log.read_text()


async def test_a_port_takes_connections_while_a_server_listens() -> None:
    async with scripted_server() as server:
        port = int(server.url.rpartition(":")[2])
        assert takes_connections("127.0.0.1", port)
    assert not takes_connections("127.0.0.1", port)
