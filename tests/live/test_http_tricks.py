"""Requests that try to be read in two ways, as raw bytes: a table error each, and the server stays."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.live.nodes import Nodes, Sockets, query

ARRIVAL_S = 2
SLACK = 3
SETTINGS = {"CONSTRUCT_HTTP_ARRIVAL_S": str(ARRIVAL_S), "CONSTRUCT_REQUEST_BODY_BYTES": "4000"}
# HTTP is read before any database is asked.
pytestmark = pytest.mark.parametrize("nodes", ["embedded"], indirect=True)
WAIT_S = 20
HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"
LOGIN = b'{"username":"nobody","password":"wrong horse battery"}'
LENGTH = b"Content-Length: %d\r\n" % len(LOGIN)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LOGIN), LOGIN)
BEHIND = b"GET /api/v1/server HTTP/1.1\r\n" + HOST + b"\r\n"
UNREADABLE = (400, "INVALID_FORMAT")
NO_SUCH_PATH = (404, "NOT_FOUND")
AUTH_REQUIRED = (401, "AUTH_REQUIRED")
INVALID_TOKEN = (401, "INVALID_TOKEN")
TABLES = (
    "SELECT * FROM accounts_user",
    "SELECT * FROM accounts_session",
    "SELECT * FROM keys_prekeybundle",
    "SELECT * FROM messaging_mailboxmessage",
)
NO_SUCH_METHOD = (405, "METHOD_NOT_ALLOWED")
OTHER_FORM = (415, "UNSUPPORTED_MEDIA_TYPE")


def get(target: bytes, *headers: bytes, host: bytes = HOST, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + host + b"".join(headers) + b"Connection: close\r\n\r\n"


def post(*headers: bytes, body: bytes = LOGIN, version: bytes = b"HTTP/1.1") -> bytes:
    """A login as these headers describe it, with another request behind it."""
    head = b"POST /api/v1/login " + version + b"\r\n" + HOST + JSON + b"".join(headers)
    return head + b"\r\n" + body + BEHIND


def profile(*headers: bytes) -> bytes:
    return get(b"/api/v1/profile", *headers)


PATHS = {
    "dots in disguise": get(b"/api/v1/%2e%2e/admin/"),
    "dots": get(b"/api/v1/../../admin/"),
    "dots and slashes in disguise": get(b"/api/v1/..%2f..%2fadmin/"),
    "a slash in disguise": get(b"/api/v1%2Fserver"),
    "a slash in disguise behind an id": get(b"/api/v1/sessions%2f00000000-0000-4000-8000-000000000000"),
    "two slashes": get(b"/api/v1//server"),
    "a slash at the end": get(b"/api/v1/server/"),
    "upper case": get(b"/api/V1/SERVER"),
    "a parameter": get(b"/api/v1/server;v=1"),
    "a fragment": get(b"/api/v1/server#here"),
    "NUL in disguise": get(b"/api/v1/server%00"),
    "half of an escape": get(b"/api/v1/server%2"),
    "an escape that is none": get(b"/api/v1/%zz"),
    "broken UTF-8": get(b"/api/v1/%ff%fe"),
    "overlong UTF-8": get(b"/api/v1%c0%afserver"),
    "a line feed in disguise": get(b"/api/v1/server%0d%0aX-Evil:%201"),
    "as much as fits": get(b"/api/v1/" + b"a" * 15_000),
}
UNREADABLE_HEADS = {
    "more than fits": get(b"/api/v1/" + b"a" * 65_536),
    "more query than fits": get(b"/api/v1/users?query=" + b"a" * 65_536),
    "more method than fits": get(b"/api/v1/server", method=b"A" * 20_000),
    "a longer header than fits": get(b"/api/v1/server", b"X-Long: " + b"a" * 65_536 + b"\r\n"),
    "more headers than fit": get(b"/api/v1/server", *(b"X-%d: a\r\n" % number for number in range(600))),
    "bytes in the path": get(b"/api/v1/\xff"),
    "NUL in the path": get(b"/api/v1/\x00"),
    "bytes in the query": get(b"/api/v1/users?query=\xff"),
    "a path without its slash": get(b"api/v1/server"),
    "no path": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "another's address": get(b"127.0.0.1:443", method=b"CONNECT"),
    "the server as a whole": get(b"*", method=b"OPTIONS"),
    "a method in lower case": get(b"/api/v1/server", method=b"get"),
    "a method in both cases": get(b"/api/v1/server", method=b"Head"),
    "a method that is no word": get(b"/api/v1/server", method=b"G(T"),
    "bytes in the method": get(b"/api/v1/server", method=b"G\xc3\x89T"),
    "HTTP/0.9": b"GET /api/v1/server\r\n\r\n",
    "HTTP/2.0": b"GET /api/v1/server HTTP/2.0\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no host": get(b"/api/v1/server", host=b""),
    "two hosts": get(b"/api/v1/server", host=HOST + b"Host: evil.example\r\n"),
    "the same host twice": get(b"/api/v1/server", host=HOST + HOST),
    "a foreign host": get(b"/api/v1/server", host=b"Host: evil.example\r\n"),
    "a foreign host in the target": get(b"http://evil.example/api/v1/server"),
    "a user in the host": get(b"/api/v1/server", host=b"Host: 127.0.0.1@evil.example\r\n"),
    "bytes in the host": get(b"/api/v1/server", host=b"Host: \xff\r\n"),
    "an empty host": get(b"/api/v1/server", host=b"Host:\r\n"),
    "a header without a colon": get(b"/api/v1/server", b"nothing\r\n"),
    "a space before the colon": post(b"Content-Length : 5\r\n"),
    "NUL in a header": profile(b"Authorization: Bearer a\x00b\r\n"),
}
SMUGGLED = {
    "a length and chunks": post(LENGTH, CHUNKED, body=IN_CHUNKS),
    "chunks and a length": post(CHUNKED, LENGTH, body=IN_CHUNKS),
    "two lengths": post(LENGTH, b"Content-Length: 3\r\n"),
    "the same length twice": post(LENGTH, LENGTH),
    "a list of lengths": post(b"Content-Length: 5, 5\r\n"),
    "a negative length": post(b"Content-Length: -1\r\n"),
    "a length with a sign": post(b"Content-Length: +5\r\n"),
    "a length in hexadecimal": post(b"Content-Length: 0x5\r\n"),
    "an encoding that is none": post(b"Transfer-Encoding: xchunked\r\n", body=IN_CHUNKS),
    "an encoding around another": post(b"Transfer-Encoding: gzip, chunked\r\n", body=IN_CHUNKS),
    "an encoding behind another": post(b"Transfer-Encoding: chunked, identity\r\n", body=IN_CHUNKS),
    "another encoding in a line of its own": post(
        CHUNKED, b"Transfer-Encoding: identity\r\n", body=IN_CHUNKS
    ),
    "an encoding that is not there": post(b"Transfer-Encoding: identity\r\n"),
    "an encoding with a tab": post(b"Transfer-Encoding:\x0bchunked\r\n", body=IN_CHUNKS),
    "chunks in HTTP/1.0": post(CHUNKED, body=IN_CHUNKS, version=b"HTTP/1.0"),
    "a chunk of no size": post(CHUNKED, body=b"zz\r\n" + LOGIN + b"\r\n0\r\n\r\n"),
    "a chunk of negative size": post(CHUNKED, body=b"-1\r\n" + LOGIN + b"\r\n0\r\n\r\n"),
    "a chunk that ends elsewhere": post(CHUNKED, body=b"1\r\n" + LOGIN + b"\r\n0\r\n\r\n"),
    "a chunk with a long extension": post(CHUNKED, body=b"1;" + b"a" * 5000 + b"\r\nx\r\n0\r\n\r\n"),
}
ANSWERED: dict[str, tuple[bytes, tuple[int, str]]] = {
    "a method of its own": (get(b"/api/v1/server", method=b"FOO"), NO_SUCH_METHOD),
    "TRACE": (get(b"/api/v1/server", method=b"TRACE"), NO_SUCH_METHOD),
    "CONNECT": (get(b"/api/v1/server", method=b"CONNECT"), NO_SUCH_METHOD),
    "OPTIONS": (get(b"/api/v1/server", method=b"OPTIONS"), NO_SUCH_METHOD),
    "a form that names another method": (
        b"POST /api/v1/login HTTP/1.1\r\n"
        + HOST
        + b"X-HTTP-Method-Override: DELETE\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 14\r\nConnection: close\r\n\r\n_method=DELETE",
        OTHER_FORM,
    ),
    "a broken form of parts": (
        b"POST /api/v1/login HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: multipart/form-data; boundary=x\r\n"
        + LENGTH
        + b"Connection: close\r\n\r\n"
        + LOGIN,
        OTHER_FORM,
    ),
    "many spaces before a token": (profile(b"Authorization: Bearer        x\r\n"), INVALID_TOKEN),
    "the scheme in lower case": (profile(b"authorization: bearer x\r\n"), INVALID_TOKEN),
    "two tokens": (profile(b"Authorization: Bearer x\r\nAuthorization: Bearer y\r\n"), INVALID_TOKEN),
    "a tab before a token": (profile(b"Authorization: Bearer\tx\r\n"), AUTH_REQUIRED),
    "a token in the next line": (profile(b"Authorization: Bearer\r\n x\r\n"), INVALID_TOKEN),
    "bytes for a token": (profile(b"Authorization: Bearer \xff\xfe\r\n"), INVALID_TOKEN),
    "a long token": (profile(b"Authorization: Bearer " + b"a" * 15_000 + b"\r\n"), INVALID_TOKEN),
    "a header in disguise": (profile(b"Author_ization: Bearer x\r\n"), AUTH_REQUIRED),
    "a proxy's words": (
        profile(b"X-Forwarded-Host: evil.example\r\nX-Original-URL: /api/v1/server\r\n"),
        AUTH_REQUIRED,
    ),
    "an absolute target": (get(b"http://127.0.0.1/api/v1/profile"), AUTH_REQUIRED),
}


@dataclass(frozen=True)
class Reply:
    """What came back until the server closed."""

    answers: int
    status: int
    head: str
    body: bytes

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, json.loads(self.body)["code"]


def exchange(nodes: Nodes, sent: bytes, *, ends: bool = False) -> Reply:
    """Send these bytes, and with `ends` the end of the client's side; the reply, which `status` 0 says was none."""
    received = b""
    with socket.create_connection(("127.0.0.1", nodes.here.port), timeout=WAIT_S) as connection:
        # The server may refuse before it has read everything.
        with suppress(ConnectionError):
            connection.sendall(sent)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while part := connection.recv(65_536):
                received += part
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head else 0
    if b"Transfer-Encoding: chunked" in head:
        size, _, rest = body.partition(b"\r\n")
        body = rest[: int(size, 16)]
    return Reply(received.count(b"HTTP/1."), status, head.decode("latin-1"), body)


def assert_serves(nodes: Nodes) -> None:
    assert nodes.here.process.poll() is None
    assert exchange(nodes, get(b"/api/v1/server")).status == 200


@pytest.mark.parametrize("trick", PATHS)
def test_a_path_is_found_as_it_is_written_or_not_at_all(trick: str, nodes: Nodes) -> None:
    reply = exchange(nodes, PATHS[trick])
    assert reply.refusal == NO_SUCH_PATH
    assert "Content-Type: application/json" in reply.head
    assert_serves(nodes)


@pytest.mark.parametrize("path", [b"//api/v1/server", b"/API/v1/server", b"/%2561pi/v1/server", b"/./api"])
def test_a_path_that_only_looks_like_one_of_the_interface_is_a_page_that_is_not_there(
    path: bytes, nodes: Nodes
) -> None:
    reply = exchange(nodes, get(path))
    assert (reply.status, reply.answers) == (404, 1)
    assert "Location:" not in reply.head


@pytest.mark.parametrize("trick", UNREADABLE_HEADS)
def test_a_head_that_cannot_be_read_is_told_so_once(trick: str, nodes: Nodes) -> None:
    reply = exchange(nodes, UNREADABLE_HEADS[trick])
    assert (reply.refusal, reply.answers) == (UNREADABLE, 1)
    assert_serves(nodes)


@pytest.mark.parametrize("trick", SMUGGLED)
def test_a_body_of_two_readings_is_refused_with_all_that_follows(trick: str, nodes: Nodes) -> None:
    reply = exchange(nodes, SMUGGLED[trick])
    assert (reply.refusal, reply.answers) == (UNREADABLE, 1)
    assert_serves(nodes)


@pytest.mark.parametrize("trick", ANSWERED)
def test_what_can_be_read_is_answered_by_its_endpoint(trick: str, nodes: Nodes) -> None:
    sent, refusal = ANSWERED[trick]
    reply = exchange(nodes, sent)
    assert (reply.refusal, reply.answers) == (refusal, 1)


@pytest.mark.parametrize(
    "headers", [(LENGTH,), (CHUNKED,), (b"transfer-encoding: Chunked\r\n",)], ids=["length", "chunks", "case"]
)
def test_what_follows_a_body_of_one_reading_is_the_next_request(
    headers: tuple[bytes, ...], nodes: Nodes
) -> None:
    body = LOGIN if headers == (LENGTH,) else IN_CHUNKS
    sent = post(*headers, body=body).replace(BEHIND, get(b"/api/v1/server"))
    reply = exchange(nodes, sent)
    assert (reply.status, reply.answers) == (401, 2), "the body was read"


def test_a_status_is_sent_with_its_phrase(nodes: Nodes) -> None:
    reply = exchange(nodes, post(b"Connection: close\r\nContent-Length: 2\r\n", body=b"{}"))
    assert reply.head.startswith("HTTP/1.1 422 Unprocessable ")


def test_a_body_is_asked_for_and_then_answered(nodes: Nodes) -> None:
    asks = post(b"Expect: 100-continue\r\nConnection: close\r\n", LENGTH)
    with socket.create_connection(("127.0.0.1", nodes.here.port), timeout=WAIT_S) as connection:
        head, _, _ = asks.partition(LOGIN)
        connection.sendall(head)
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(LOGIN)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_a_body_that_is_too_large_is_not_asked_for(nodes: Nodes) -> None:
    reply = exchange(nodes, post(b"Expect: 100-continue\r\nContent-Length: 4001\r\n", body=b""))
    assert (reply.refusal, reply.answers) == ((413, "MESSAGE_TOO_LARGE"), 1)


def test_packed_json_is_another_form(nodes: Nodes) -> None:
    sent = post(b"Content-Encoding: gzip\r\nConnection: close\r\n", LENGTH)
    assert exchange(nodes, sent).refusal == OTHER_FORM


def test_a_head_request_is_answered_without_a_body(nodes: Nodes) -> None:
    reply = exchange(nodes, get(b"/api/v1/server", method=b"HEAD"))
    assert (reply.status, reply.body) == (200, b"")


def test_http_1_0_is_answered_without_a_host_and_ends(nodes: Nodes) -> None:
    reply = exchange(nodes, b"GET /api/v1/server HTTP/1.0\r\n\r\n" + BEHIND)
    assert (reply.status, reply.answers) == (200, 1)


@pytest.mark.parametrize("sent", [post(b"Content-Length: 4000\r\n"), post(CHUNKED, body=b"100\r\n")])
def test_a_body_that_is_cut_off_is_nobodys_request(sent: bytes, nodes: Nodes) -> None:
    assert exchange(nodes, sent, ends=True).status == 0
    assert_serves(nodes)


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b"G"),
        (b"GET /api/v1/server HTTP/1.1\r\n", b"X-A: b\r\n"),
        (post(b"Content-Length: 4000\r\n", body=b""), b" "),
        (b"GET /api/v1/server HTTP/1.1\nHost: 127.0.0.1\n\n", b"\n"),
    ],
    ids=["no line", "headers", "a body", "bare line feeds"],
)
def test_a_request_that_trickles_in_ends_in_time(begin: bytes, drop: bytes, nodes: Nodes) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", nodes.here.port), timeout=WAIT_S) as connection:
        connection.sendall(begin)
        connection.settimeout(0.2)
        assert _trickled(connection, drop) == b""
    assert time.monotonic() - started < 2 * SLACK * ARRIVAL_S
    assert_serves(nodes)


def _trickled(connection: socket.socket, drop: bytes) -> bytes:
    """What the server says while `drop` is sent every 0.2 s, until it ends the connection."""
    while True:
        try:
            return connection.recv(1000)
        except TimeoutError:
            pass
        except ConnectionError:
            return b""
        with suppress(ConnectionError):
            connection.sendall(drop)


def test_a_connection_is_kept_for_the_next_request_and_no_longer(nodes: Nodes) -> None:
    with socket.create_connection(("127.0.0.1", nodes.here.port), timeout=WAIT_S) as connection:
        for _ in range(2):
            connection.sendall(BEHIND)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            time.sleep(ARRIVAL_S / 4)
        assert connection.recv(65_536) == b"", "after the time of a request it is closed"


async def test_nothing_changes_by_any_of_it(nodes: Nodes, sockets: Sockets) -> None:
    socket_, person = await sockets.register()
    before = _everything(nodes)
    tricks: list[Any] = [*PATHS.values(), *UNREADABLE_HEADS.values(), *SMUGGLED.values()]
    token = b"Authorization: Bearer " + person.token.encode() + b"\r\n"
    for trick in tricks:
        # The session's own token, so that nothing but the trick itself is refused.
        exchange(nodes, trick.replace(HOST, HOST + token, 1))
    assert _everything(nodes) == before
    assert (await socket_.ask("searchUsers", {"query": "nobody"}))["type"] == "searchResults"


def _everything(nodes: Nodes) -> list[Any]:
    return [sorted(map(repr, query(nodes.backing, statement))) for statement in TABLES]
