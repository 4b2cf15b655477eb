"""HTTP through the real server: bodies are bounded, and clients cannot steer what the proxy should."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.construct_site.probe import SECRET
from tests.construct_site.probes import BODY_BYTES, Probe, listening

WAIT_S = 10.0


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    with listening(tmp_path_factory.mktemp("probe")) as running:
        yield running


def answer(probe: Probe, request: bytes) -> bytes:
    """All that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", probe.port), timeout=WAIT_S) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def request(probe: Probe, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = HTTPConnection("127.0.0.1", probe.port, timeout=WAIT_S)
    try:
        connection.request(
            "GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


def post(size: int, body: bytes = b"") -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


def chunked(*sizes: int) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [post(BODY_BYTES, b"x" * BODY_BYTES), chunked(BODY_BYTES // 2, BODY_BYTES - BODY_BYTES // 2)],
    ids=["with a length", "in chunks"],
)
def test_a_body_as_large_as_allowed_arrives(probe: Probe, sent: bytes) -> None:
    assert b"root= size=%d\r\n" % BODY_BYTES in answer(probe, sent)


@pytest.mark.parametrize(
    "sent",
    [
        post(BODY_BYTES + 1),
        post(10**15),
        post(BODY_BYTES + 1, b"x" * (BODY_BYTES + 1)),
        chunked(BODY_BYTES, 1),
        chunked(BODY_BYTES + 1) + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["announced", "announced as huge", "sent", "in chunks", "with another request behind it"],
)
def test_a_larger_body_is_refused_and_the_connection_closed(probe: Probe, sent: bytes) -> None:
    refusal = answer(probe, sent)
    assert refusal.startswith(b"HTTP/1.1 413 ")
    assert refusal.count(b"HTTP/1.1") == 1
    assert b"size=" not in refusal


def test_a_client_cannot_set_the_root_path(probe: Probe) -> None:
    status, _, body = request(probe, Daphne_Root_Path="/evil")
    assert (status, body) == (200, "root= size=0")


def test_answers_do_not_name_the_program(probe: Probe) -> None:
    for path, wanted in {"/": 200, "/fails": 500}.items():
        status, headers, body = request(probe, path)
        assert status == wanted
        assert "server" not in {name.lower() for name in headers}
        assert "daphne" not in body.lower()


def test_a_header_that_is_not_one_is_refused_without_naming_the_program(probe: Probe) -> None:
    refusal = answer(probe, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nbad(name: x\r\n\r\n")
    assert refusal.startswith(b"HTTP/1.1 400 ")
    assert b"daphne" not in refusal.lower()
    assert b"twisted" not in refusal.lower()


def test_an_application_that_fails_is_logged_by_class_and_place(probe: Probe) -> None:
    status, _, body = request(probe, "/fails")
    assert status == 500
    assert SECRET not in body
    log = probe.log.read_text()
    assert "ValueError in __main__" in log
    assert SECRET not in log
    assert "127.0.0.1" not in log
