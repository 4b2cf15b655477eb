"""Start and end of a server process, and what happens when it cannot start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.construct_site.probe import SECRET
from tests.construct_site.probes import WAIT_S, Probe, listening, started


def failure(probe: Probe) -> str:
    """What a probe that gives up leaves on standard error."""
    assert probe.process.wait(WAIT_S) == 1
    return probe.log.read_text()


def test_the_application_starts_before_the_server_says_that_it_listens(tmp_path: Path) -> None:
    with started(tmp_path) as probe:
        assert probe.lines.get(timeout=WAIT_S) == "start"
        assert probe.lines.get(timeout=WAIT_S).startswith("listening")
        assert probe.said() == ["end"]


def test_idle_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with listening(tmp_path) as probe, socket.create_connection(("127.0.0.1", probe.port)) as silent:
        assert "end" in probe.said()
        silent.settimeout(WAIT_S)
        assert silent.recv(1) == b""


def test_an_application_that_hangs_at_the_end_does_not_keep_the_process(tmp_path: Path) -> None:
    with started(tmp_path, "hangs-at-end") as probe:
        probe.await_line("listening")
        probe.end()
        assert "stopped, with work left" in failure(probe)


def test_a_port_that_is_taken_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        started(tmp_path, PORT=str(other.getsockname()[1])) as probe,
    ):
        reason = failure(probe)
    assert "cannot serve: HOST and PORT cannot be listened on" in reason
    assert "in use" in reason
    assert "Traceback" not in reason


def test_an_address_that_is_not_ours_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    with started(tmp_path, HOST="192.0.2.7", CONSTRUCT_EXPOSE_DEVELOPMENT="yes") as probe:
        assert "cannot serve: HOST and PORT cannot be listened on" in failure(probe)


def test_an_application_that_fails_to_start_ends_the_process(tmp_path: Path) -> None:
    with started(tmp_path, "fails-at-start") as probe:
        reason = failure(probe)
    assert "cannot serve: the application failed to start" in reason
    assert "ValueError in __main__" in reason
    assert SECRET not in reason
    assert "Traceback" not in reason


@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost"])
def test_a_server_listens_on_the_host_that_it_is_given(host: str, tmp_path: Path) -> None:
    with listening(tmp_path, HOST=host) as probe:
        socket.create_connection((host.strip("[]"), probe.port), timeout=WAIT_S).close()
