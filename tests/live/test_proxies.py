"""Behind a proxy: both edges count the client that a trusted one names, and nobody else's word for it.

The tests' own address, 127.0.0.1, is the proxy's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from http.client import HTTPConnection
from itertools import count

import pytest

from construct_site.notices import UNTRUSTED_FORWARDING
from tests.live.dialogue import codes_of, new_username, registration
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets
from tests.live.rest import ask
from tests.live.server import Server, ServerFactory

REGISTRATIONS, FAILED_LOGINS, SOCKETS = 3, 3, 3
SETTINGS = {
    "CONSTRUCT_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8",
    "CONSTRUCT_REGISTRATIONS_PER_HOUR": str(REGISTRATIONS),
    "CONSTRUCT_FAILED_LOGINS_PER_NAME_ADDRESS": str(FAILED_LOGINS),
    "CONSTRUCT_CONNECTIONS_PER_ADDRESS": str(SOCKETS),
}
FULL = (["TOO_MANY_CONNECTIONS"], 4409)

_numbers = count(1)


class Crowd:
    """Sockets of many clients, each with a header of its own."""

    def __init__(self, server: Server, private: set[str]) -> None:
        self._server = server
        self._private = private
        self._stack = AsyncExitStack()

    async def of(self, *forwarded_for: str, source: str = "127.0.0.1") -> Sockets:
        """`forwarded_for`: the header's lines."""
        headers = [("X-Forwarded-For", line) for line in forwarded_for]
        sockets = Sockets(self._server, self._private, source, headers)
        return await self._stack.enter_async_context(sockets)

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def crowd(nodes: Nodes) -> AsyncIterator[Crowd]:
    made = Crowd(nodes.here, nodes.private)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def client(nodes: Nodes) -> str:
    """An address that no other test uses, and no log may name."""
    address = f"203.0.113.{next(_numbers)}"
    nodes.private.add(address)
    return address


@pytest.fixture
def other(nodes: Nodes) -> str:
    address = f"198.51.100.{next(_numbers)}"
    nodes.private.add(address)
    return address


async def fill(sockets: Sockets, wanted: int) -> None:
    """Open so many sockets, each of which is let in."""
    for _ in range(wanted):
        assert await (await sockets.open()).refusal("searchUsers", {"query": "any"}) == "AUTH_REQUIRED"


async def fate(sockets: Sockets) -> tuple[list[str], int]:
    """What one more socket is told, and how it is closed."""
    frames, code = await (await sockets.open()).ending()
    return codes_of(frames), code


async def test_registrations_count_for_the_client_on_both_edges(
    nodes: Nodes, crowd: Crowd, client: str, other: str
) -> None:
    sockets = await crowd.of(client)
    await sockets.register_absent()
    await sockets.register_absent(nodes.there)
    status, _ = await ask(nodes.there, "POST", "register", registration(), x_forwarded_for=client)
    assert status == 201
    lies = f"{other}, {client}, 10.1.2.3"
    status, body = await ask(nodes.here, "POST", "register", registration(), x_forwarded_for=lies)
    assert (status, body["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    refused = await (await (await crowd.of(lies)).open()).refusal("register", registration())
    assert refused == "RATE_LIMIT_EXCEEDED"
    assert await (await crowd.of(other)).register_absent()


async def test_failed_logins_count_for_the_client_on_both_edges(
    nodes: Nodes, crowd: Crowd, client: str, other: str
) -> None:
    wrong = {"username": new_username(), "password": "certainly wrong"}
    socket = await (await crowd.of(client)).open()
    assert await socket.refusal("login", wrong) == "INVALID_CREDENTIALS"
    for _ in range(FAILED_LOGINS - 1):
        assert (await ask(nodes.there, "POST", "login", wrong, x_forwarded_for=client))[0] == 401
    assert await socket.refusal("login", wrong) == "RATE_LIMIT_EXCEEDED"
    assert (await ask(nodes.here, "POST", "login", wrong, x_forwarded_for=client))[0] == 429
    assert (await ask(nodes.here, "POST", "login", wrong, x_forwarded_for=other))[0] == 401
    assert await (await (await crowd.of(other)).open()).refusal("login", wrong) == "INVALID_CREDENTIALS"


async def test_sockets_count_for_the_client(crowd: Crowd, client: str, other: str) -> None:
    sockets = await crowd.of(client)
    await fill(sockets, SOCKETS)
    assert await fate(sockets) == FULL
    assert await fate(await crowd.of(f"{other}, {client}:50000")) == FULL
    await fill(await crowd.of(other), SOCKETS)


async def test_the_lines_of_a_header_are_read_as_one(
    nodes: Nodes, crowd: Crowd, client: str, other: str
) -> None:
    for lines in (
        (other, client),
        (other, f"{client}, 10.7.7.7"),
        (f"{other},{client}", "10.7.7.7", "10.8.8.8"),
    ):
        await fill(await crowd.of(*lines), 1)
    assert await fate(await crowd.of(client)) == FULL
    person = await (await crowd.of(other)).register_absent()
    assert (
        await asyncio.to_thread(address_shown, nodes.here, person.token, (other, client, "10.7.7.7"))
        == client
    )


def address_shown(server: Server, token: str, lines: Sequence[str]) -> str:
    """The address of the current session, asked for with these lines of the header over REST."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest("GET", "/api/v1/sessions")
        connection.putheader("Authorization", f"Bearer {token}")
        for line in lines:
            connection.putheader("X-Forwarded-For", line)
        connection.endheaders()
        (session,) = json.loads(connection.getresponse().read())["sessions"]
    finally:
        connection.close()
    address: str = session["address"]
    return address


async def test_clients_of_one_ipv6_network_count_as_one(crowd: Crowd) -> None:
    for host in ("2001:db8:1:2::1", "[2001:db8:1:2::2]", "[2001:db8:1:2:ffff::3]:443"):
        await fill(await crowd.of(host), 1)
    assert await fate(await crowd.of("2001:db8:1:2::4")) == FULL
    await fill(await crowd.of("2001:db8:1:3::1"), 1)


async def test_an_entry_that_is_no_address_counts_for_the_proxy_that_wrote_it(
    crowd: Crowd, client: str
) -> None:
    hidden = [f"{client}, unknown, 10.7.7.7", "_hidden,10.7.7.7", "10.7.7.7"]
    for line in hidden:
        await fill(await crowd.of(line), 1)
    assert await fate(await crowd.of("for=203.0.113.9, 10.7.7.7")) == FULL
    await fill(await crowd.of("unknown, 10.8.8.8"), 1)


async def test_the_owner_of_a_session_sees_the_clients_address(
    nodes: Nodes, crowd: Crowd, client: str, other: str
) -> None:
    person = await (await crowd.of(client)).register_absent()
    credentials = {"username": person.username, "password": person.password}
    _, login = await ask(nodes.there, "POST", "login", credentials, x_forwarded_for=other)
    _, listed = await ask(
        nodes.here, "GET", "sessions", token=login["sessionToken"], x_forwarded_for=f"10.9.9.9, {other}"
    )
    shown = {session["isCurrent"]: session["address"] for session in listed["sessions"]}
    assert shown == {True: other, False: client}


@pytest.mark.parametrize("backing", ["embedded"], indirect=True)
async def test_what_anybody_else_forwards_changes_nothing_is_logged_once_and_shown_by_readiness(
    server_process: ServerFactory,
) -> None:
    server = server_process(**{**SHARED_SETTINGS, **SETTINGS})
    crowd = Crowd(server, server_process.private)
    server_process.private |= {"203.0.113.", "127.0.0.77"}
    try:
        await fill(await crowd.of("203.0.113.1"), 1)
        status, before = await ask(server, "GET", "/health/ready", x_forwarded_for="203.0.113.1")
        assert (status, before["warnings"]) == (200, [])
        for number in range(SOCKETS):
            await fill(await crowd.of(f"203.0.113.{number}", source="127.0.0.77"), 1)
        assert await fate(await crowd.of("203.0.113.200", source="127.0.0.77")) == FULL
        status, after = await ask(server, "GET", "/health/ready")
        assert (status, after["warnings"]) == (200, [UNTRUSTED_FORWARDING.text])
        assert server.log.read_text().count(UNTRUSTED_FORWARDING.text) == 1
    finally:
        await crowd.close()


@pytest.mark.parametrize("backing", ["embedded"], indirect=True)
async def test_without_trusted_proxies_a_request_that_was_forwarded_is_noticed(
    server_process: ServerFactory,
) -> None:
    server = server_process(**{**SHARED_SETTINGS, "CONSTRUCT_REGISTRATIONS_PER_HOUR": "1"})
    for number, expected in ((1, 201), (2, 429)):
        status, _ = await ask(
            server, "POST", "register", registration(), x_forwarded_for=f"203.0.113.{number}"
        )
        assert status == expected
    assert (await ask(server, "GET", "/health/ready"))[1]["warnings"] == [UNTRUSTED_FORWARDING.text]


@pytest.mark.parametrize("backing", ["embedded"], indirect=True)
def test_a_value_that_is_no_network_is_refused_at_the_start(server_process: ServerFactory) -> None:
    server = server_process.launch(CONSTRUCT_TRUSTED_PROXIES="10.0.0.0/8, proxy.example")
    server_process.private.add("proxy.example")
    assert server.process.wait(30) == 1
    assert "CONSTRUCT_TRUSTED_PROXIES must hold addresses and networks" in server.log.read_text()
