"""The admin on a listener of its own: there is nothing else, and elsewhere nothing tells where it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest

from construct_site.admin_path import HEADERS
from tests.live.server import SERVE, Server, ServerFactory
from tests.services import free_port

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
OF_THE_MOMENT = {"date"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def told(self) -> tuple[int, dict[str, str], str]:
        """What does not differ from one moment to another."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self.status, {name: headers[name] for name in headers.keys() - OF_THE_MOMENT}, self.body


def ask(
    port: int, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: str = ""
) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace"))
    finally:
        connection.close()


def served(server_process: ServerFactory, *arguments: str, **settings: str) -> tuple[Server, int]:
    """A server, and the port of its admin."""
    port = free_port()
    server = server_process((*SERVE, *arguments), CONSTRUCT_ADMIN_LISTEN=f"127.0.0.1:{port}", **settings)
    return server, port


@pytest.mark.parametrize(
    ("backing", "arguments"),
    [("embedded", ()), ("distributed", ("--workers", "2"))],
    indirect=["backing"],
)
def test_each_listener_serves_its_own_and_nothing_of_the_other(
    server_process: ServerFactory, arguments: tuple[str, ...]
) -> None:
    server, admin = served(server_process, *arguments)
    # Several times: each worker takes some.
    for _ in range(4):
        nowhere = ask(server.port, "/nowhere")
        assert nowhere.status == 404
        for path in ("/admin", "/admin/", "/admin/login/", "/admin/accounts/user/"):
            for method in ("GET", "POST"):
                assert (
                    ask(server.port, path, method=method).told
                    == ask(server.port, "/nowhere", method=method).told
                )
        foreign = {"Host": "evil.example"}
        assert ask(server.port, "/admin/", foreign).told == ask(server.port, "/nowhere", foreign).told
        assert "Administration" not in ask(server.port, "/").body

        page = ask(admin, "/admin/login/")
        assert page.status == 200
        assert {name: page.headers[name] for name in HEADERS} == HEADERS
        assert ask(admin, "/admin/").headers["Location"] == "/admin/login/?next=/admin/"
        files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.body)
        assert len(files) > 5
        own = ("admin/css/base.css", "unfold/css/styles.css", "desk/dashboard.css", "construct_site/icon.svg")
        files += [f"/static/{file}" for file in own]
        assert {ask(admin, file).status for file in files} == {200}
        for file in files:
            is_public = file.startswith("/static/construct_site/")
            assert (ask(server.port, file).told != nowhere.told) is is_public, file
        pages = ask(server.port, "/").body + ask(server.port, "/api/docs/").body
        public = re.findall(r'(?:href|src)="(/static/[^"]+)"', pages)
        assert len(public) > 2
        assert {ask(server.port, file).status for file in public} == {200}
        for path in ("/", "/health/live", "/health/ready", "/api/docs/", "/api/v1/login", "/ws", "/nowhere"):
            assert ask(admin, path).status == 404, path
            assert ask(admin, path, UPGRADE).status == 404, path


@pytest.mark.parametrize("backing", ["embedded"], indirect=True)
def test_forms_are_taken_from_the_hosts_and_the_named_ports_over_tls_alone(
    server_process: ServerFactory,
) -> None:
    server = server_process(
        SERVE, CONSTRUCT_HOSTS="chat.example", CONSTRUCT_ADMIN_ORIGINS="https://Chat.Example:8443"
    )
    page = ask(server.port, "/admin/login/", {"Host": "chat.example"})
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.body)
    assert token
    form = urlencode({"csrfmiddlewaretoken": token[1], "username": "nobody", "password": "wrong password"})
    headers = {
        "Host": "chat.example",
        "Cookie": page.headers["Set-Cookie"].partition(";")[0],
        "Content-Type": "application/x-www-form-urlencoded",
    }
    taken = {}
    for origin in (
        "https://chat.example",
        "https://chat.example:8443",
        "https://chat.example:8444",
        "http://chat.example:8443",
        "https://evil.example:8443",
        "null",
    ):
        answer = ask(server.port, "/admin/login/", {**headers, "Origin": origin}, "POST", form)
        taken[origin] = answer.status
    assert taken == {
        "https://chat.example": 200,
        "https://chat.example:8443": 200,
        "https://chat.example:8444": 403,
        "http://chat.example:8443": 403,
        "https://evil.example:8443": 403,
        "null": 403,
    }


@pytest.mark.parametrize("backing", ["embedded"], indirect=True)
def test_the_path_is_a_setting(server_process: ServerFactory) -> None:
    server = server_process(SERVE, CONSTRUCT_ADMIN_PATH="back/desk/")
    assert ask(server.port, "/admin/").status == 404
    assert "Administration" not in ask(server.port, "/").body
    assert ask(server.port, "/back/desk").headers["Location"] == "/back/desk/"
    assert ask(server.port, "/back/desk/").headers["Location"] == "/back/desk/login/?next=/back/desk/"
    page = ask(server.port, "/back/desk/login/")
    assert page.status == 200
    assert "Path=/back/desk/" in page.headers["Set-Cookie"]
    assert page.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    assert "unsafe-eval" not in ask(server.port, "/").headers["Content-Security-Policy"]
