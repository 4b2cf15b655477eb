"""The HTTP side of the server, as far as the server itself answers for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest

from tests.live.nodes import Nodes

BODY_BYTES = 1000
SETTINGS = {"CONSTRUCT_REQUEST_BODY_BYTES": str(BODY_BYTES)}
CHUNKED = {"Transfer-Encoding": "chunked"}


@contextmanager
def answer_to(
    nodes: Nodes, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Iterator[HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", nodes.here.port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as response:
            response.read()
            yield response
    finally:
        connection.close()


def exchange(nodes: Nodes, request: bytes) -> bytes:
    """All that the server says to these bytes until it closes."""
    with socket.create_connection(("127.0.0.1", nodes.here.port), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def chunks(size: int, count: int) -> bytes:
    return (b"%x\r\n" % size + b"a" * size + b"\r\n") * count


def test_a_body_of_a_length_over_the_limit_is_refused_before_it_is_sent(nodes: Nodes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
    assert exchange(nodes, head % (BODY_BYTES + 1)).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_over_the_limit_is_refused(nodes: Nodes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(nodes, head + chunks(300, 4))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_nothing_behind_a_refused_body_is_answered(nodes: Nodes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000\r\n\r\n"
    behind = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert exchange(nodes, head + b"a" * 2000 + behind).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("headers", [{}, CHUNKED], ids=["length", "chunked"])
def test_a_body_within_the_limit_reaches_django(headers: dict[str, str], nodes: Nodes) -> None:
    body = chunks(BODY_BYTES // 4, 4) + b"0\r\n\r\n" if headers else b"a" * BODY_BYTES
    with answer_to(nodes, "POST", "/admin/login/", body, headers) as response:
        assert response.status == 403, "no CSRF token"


def test_the_root_path_of_a_header_is_ignored(nodes: Nodes) -> None:
    with answer_to(nodes, "GET", "/admin/", headers={"Daphne-Root-Path": "/elsewhere"}) as response:
        assert response.status == 302
        assert response.headers["Location"] == "/admin/login/?next=/admin/"


def test_a_foreign_host_is_refused(nodes: Nodes) -> None:
    with answer_to(nodes, "GET", "/", headers={"Host": "evil.example"}) as response:
        assert response.status == 400


def test_an_unknown_page_is_not_found_and_tells_nothing(nodes: Nodes) -> None:
    with answer_to(nodes, "GET", "/nothing/here") as response:
        assert response.status == 404
        assert "Server" not in response.headers


def test_the_answer_to_a_request_carries_the_safe_headers(nodes: Nodes) -> None:
    with answer_to(nodes, "GET", "/") as response:
        assert response.status == 200
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        # No page elsewhere learns an address of ours; the admin's forms need it within the site.
        assert response.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
