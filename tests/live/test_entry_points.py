"""The ways to start the server: each answers on HTTP and on the socket; none starts unsafe."""

from __future__ import annotations

import base64
import re
import secrets

import msgpack
import pytest
from websockets.sync.client import connect

from construct_site.env import development_key
from tests.live.server import SERVE, START_S, Server, ServerFactory, migrate

RESTART_S = 3.0
SLACK = 3
"""How much slower than promised a restart may be here: the test machine does other things too."""

MIGRATE_AND_SERVE = (*SERVE, "--migrate")
ENTRY_POINTS = {
    "serve": MIGRATE_AND_SERVE,
    "daphne": ("-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "construct_site.asgi:application"),
    "runserver": ("manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
}
embedded_only = pytest.mark.parametrize("backing", ["embedded"], indirect=True)


def key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def safe_production() -> dict[str, str]:
    """The least that production starts with."""
    return {
        "CONSTRUCT_ENVIRONMENT": "production",
        "CONSTRUCT_SECRET_KEY": secrets.token_urlsafe(64),
        "CONSTRUCT_MAILBOX_KEYS": key(),
        "CONSTRUCT_DEDUP_KEY": key(),
        "CONSTRUCT_HOSTS": "127.0.0.1",
    }


def answer_to_a_search(server: Server) -> dict[str, object]:
    """What the socket says to a search without a login."""
    with connect(server.websocket_url, open_timeout=10) as socket:
        socket.send(msgpack.packb({"type": "searchUsers", "payload": {"query": "any"}}))
        answer: dict[str, object] = msgpack.unpackb(socket.recv(timeout=10))
        return answer


@pytest.mark.unmigrated
@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_each_entry_point_answers_on_http_and_on_the_socket(name: str, server_process: ServerFactory) -> None:
    if name != "serve":
        migrate(server_process.backing)
    server = server_process(ENTRY_POINTS[name])
    assert server.get("/")[0] == 200
    status, page = server.get("/admin/login/")
    assert status == 200
    sheets = re.findall(r'<link href="([^"]+)" rel="stylesheet"', page)
    assert sheets
    assert {server.get(sheet)[0] for sheet in sheets} == {200}
    answer = answer_to_a_search(server)
    assert answer["type"] == "error"
    assert answer["payload"]["code"] == "AUTH_REQUIRED"  # type: ignore[index]


@embedded_only
@pytest.mark.unmigrated
def test_a_second_start_is_quick(server_process: ServerFactory) -> None:
    server_process(MIGRATE_AND_SERVE).stop()
    assert server_process(MIGRATE_AND_SERVE).started_in_s < RESTART_S * SLACK


def test_the_server_ends_in_order_when_it_is_asked_to(server: Server) -> None:
    assert server.stop() == 0


@pytest.mark.unmigrated
def test_two_processes_serve_on_the_same_data(server_process: ServerFactory) -> None:
    if server_process.backing.name == "embedded":
        with pytest.raises(ValueError, match="one process"):
            server_process.pair()
        return
    for server in [server_process(MIGRATE_AND_SERVE) for _ in range(2)]:
        assert answer_to_a_search(server)["type"] == "error"


@embedded_only
def test_production_starts_with_safe_settings(server_process: ServerFactory) -> None:
    server = server_process(**safe_production())
    assert answer_to_a_search(server)["type"] == "error"


UNSAFE = {
    "no signing key": ("CONSTRUCT_SECRET_KEY", ""),
    "a short signing key": ("CONSTRUCT_SECRET_KEY", "hidden-" + secrets.token_urlsafe(16)),
    "a monotonous signing key": ("CONSTRUCT_SECRET_KEY", "hidden" * 12),
    "a development signing key": ("CONSTRUCT_SECRET_KEY", "development-only-" + secrets.token_urlsafe(48)),
    "no mailbox key": ("CONSTRUCT_MAILBOX_KEYS", ""),
    "a short mailbox key": ("CONSTRUCT_MAILBOX_KEYS", encoded(secrets.token_bytes(16))),
    "a mailbox key that is not base64": ("CONSTRUCT_MAILBOX_KEYS", "hidden!"),
    "a monotonous mailbox key": ("CONSTRUCT_MAILBOX_KEYS", encoded(bytes(32))),
    "a development mailbox key": ("CONSTRUCT_MAILBOX_KEYS", encoded(development_key())),
    "a development mailbox key in second place": (
        "CONSTRUCT_MAILBOX_KEYS",
        f"{key()},{encoded(development_key())}",
    ),
    "no dedup key": ("CONSTRUCT_DEDUP_KEY", ""),
    "a development dedup key": ("CONSTRUCT_DEDUP_KEY", encoded(development_key())),
    "no host": ("CONSTRUCT_HOSTS", ""),
    "any host": ("CONSTRUCT_HOSTS", "*"),
    "any host among others": ("CONSTRUCT_HOSTS", "chat.example,*"),
    "no limits": ("CONSTRUCT_LIMITS", "off"),
    "an unknown name": ("CONSTRUCT_HOST", "hidden.example"),
    "an unreadable number": ("CONSTRUCT_FRAME_BYTES", "hidden"),
}


def refusal(server: Server) -> str:
    """The log of a server that did not start."""
    assert server.process.wait(START_S) != 0
    return server.log.read_text()


@embedded_only
@pytest.mark.parametrize("fault", UNSAFE)
def test_production_refuses_to_start_with(fault: str, server_process: ServerFactory) -> None:
    variable, value = UNSAFE[fault]
    server_process.private |= {word for word in value.split(",") if len(word) > len("off")}
    log = refusal(server_process.launch(**(safe_production() | {variable: value})))
    assert variable in log


@embedded_only
def test_production_runs_without_limits_only_when_told_twice(server_process: ServerFactory) -> None:
    switches = {"CONSTRUCT_LIMITS": "off", "CONSTRUCT_LIMITS_OFF_CONFIRMED": "yes"}
    switches |= {"CONSTRUCT_REGISTRATION": "invite"}
    server = server_process(**(safe_production() | switches))
    assert answer_to_a_search(server)["type"] == "error"


@embedded_only
def test_development_listens_beyond_loopback_only_when_told_twice(server_process: ServerFactory) -> None:
    log = refusal(server_process.launch(HOST="0.0.0.0"))  # noqa: S104 - the refusal is the point
    assert "CONSTRUCT_EXPOSE_DEVELOPMENT" in log
