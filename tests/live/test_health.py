"""Health on the running server: who may ask, what a dead database and the end of the server look like."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from construct_site import health
from tests.faults.proxy import Proxy
from tests.live.dialogue import POLL_S, registration
from tests.live.nodes import SHARED_SETTINGS, Sockets
from tests.live.rest import ask
from tests.live.server import Server, ServerFactory

SLACK = 3
WELL = {"database": "ok", "durability": "ok", "migrations": "ok", "channelLayer": "ok", "server": "ok"}
embedded_only = pytest.mark.parametrize("backing", ["embedded"], indirect=True)


@contextmanager
def answer_to(server: Server, method: str, path: str, host: str = "localhost") -> Iterator[HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": host})
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def readiness(connection: HTTPConnection) -> tuple[int, Any]:
    """Ask on a connection that stays open."""
    connection.request("GET", health.READY_PATH)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_a_server_that_has_started_is_ready(server: Server) -> None:
    status, body = server.get(health.READY_PATH)
    assert (status, json.loads(body)) == (200, {"status": "ready", "checks": WELL, "warnings": []})
    assert server.get(health.LIVE_PATH) == (200, json.dumps({"status": "live"}))


@embedded_only
def test_health_is_told_under_any_host_and_only_read(server: Server) -> None:
    for path in (health.LIVE_PATH, health.READY_PATH):
        with answer_to(server, "GET", path, host="192.0.2.7:3000") as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
            size = len(response.read())
        with answer_to(server, "HEAD", path) as response:
            assert (response.status, response.headers["Content-Length"]) == (200, str(size))
            assert response.read() == b""
        with answer_to(server, "DELETE", path) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    with answer_to(server, "GET", "/health/ready/more") as response:
        assert response.status == 404


@pytest.mark.parametrize("backing", ["distributed"], indirect=True)
def test_a_database_that_hangs_is_told_in_time_and_the_process_lives(
    server_process: ServerFactory,
) -> None:
    url = urlsplit(server_process.backing.environment["DATABASE_URL"])
    with Proxy(url.port or 0) as proxy:
        through = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{proxy.port}").geturl()
        server = server_process(DATABASE_URL=through)
        assert server.get(health.READY_PATH)[0] == 200
        proxy.hang()
        time.sleep(health.KEPT_S)
        for _ in range(2):
            begin = time.monotonic()
            status, body = server.get(health.READY_PATH)
            assert time.monotonic() - begin < SLACK * health.ANSWER_S
            assert (status, json.loads(body)["checks"]["database"]) == (503, "failed")
        assert server.get(health.LIVE_PATH)[0] == 200


@embedded_only
async def test_requests_that_take_all_threads_do_not_keep_health_waiting(
    server_process: ServerFactory,
) -> None:
    slow = {
        **SHARED_SETTINGS,
        # A hash takes 0.7 s: some times as long as a busy machine needs to answer for its health.
        "CONSTRUCT_PASSWORD_HASH_PASSES": "30000",
        "CONSTRUCT_HTTP_REQUESTS": "1",
        # A quarter of the places is one address's.
        "CONSTRUCT_HTTP_REQUESTS_WAITING": "4",
    }
    server = server_process(**slow)
    registering = [asyncio.create_task(ask(server, "POST", "register", registration())) for _ in range(3)]
    done, waiting = await asyncio.wait(registering, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result()[0] for task in done] == [503], "of three requests one has no place"
    assert (await ask(server, "GET", health.READY_PATH))[0] == 200
    assert not any(task.done() for task in waiting)
    assert [(await task)[0] for task in waiting] == [201, 201]


@embedded_only
async def test_an_ending_server_is_not_ready(server_process: ServerFactory) -> None:
    server = server_process(**SHARED_SETTINGS, CONSTRUCT_DRAIN_S="10")
    load_balancer = HTTPConnection("127.0.0.1", server.port, timeout=10)
    async with Sockets(server, server_process.private) as sockets:
        _, raw = await sockets.open_raw()
        # It answers no close: the server waits for it, and can still be asked.
        raw.freeze()
        assert (await asyncio.to_thread(readiness, load_balancer))[0] == 200
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while (answer := await asyncio.to_thread(readiness, load_balancer))[0] == 200:  # noqa: ASYNC110 - only who asks is told
                await asyncio.sleep(POLL_S)
    assert answer == (503, {"status": "unready", "checks": {**WELL, "server": "draining"}, "warnings": []})
    load_balancer.close()
    assert await asyncio.to_thread(server.stop) == 0
