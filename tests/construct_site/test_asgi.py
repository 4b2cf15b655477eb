"""Who may open the socket, and what start and end of the server do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pytest_django import Settings

from construct_site import asgi
from messaging import node
from tests.construct_site.conftest import Amounts

WAIT_S = 5.0
Event = dict[str, Any]


@pytest.fixture(autouse=True)
def _hosts(settings: Settings, amounts: Amounts) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "chat.example"]
    amounts(origins=["https://web.example", "https://Mixed.Example:8443", "capacitor://localhost"])


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "http://localhost:3000",
        "https://chat.example",
        "https://chat.example:443",
        "http://127.0.0.1:5173",
        "http://[::1]:3000",
        "HTTP://LOCALHOST:3000",
        "https://web.example",
        "https://WEB.example",
        "https://mixed.example:8443",
        "capacitor://localhost",
    ],
)
def test_a_page_of_ours_may_open_the_socket(origin: str) -> None:
    assert asgi.is_allowed_origin([(b"host", b"chat.example"), (b"origin", origin.encode())])


@pytest.mark.parametrize(
    "origin",
    [
        b"https://evil.example",
        b"http://evil-localhost",
        b"http://localhost.evil.example",
        b"https://chat.example.evil.example",
        b"https://evilchat.example",
        b"https://sub.chat.example",
        b"https://chat.example@evil.example",
        b"https://evil.example:x@chat.example",
        b"https://web.example:8443",
        b"http://web.example",
        b"https://mixed.example",
        b"ftp://localhost",
        b"file://",
        b"null",
        b"*",
        b"",
        b"localhost",
        b"//localhost",
        b"http://",
        b"http://[",
        b"http://[::1",
        b"http://[::2]",
        b"http://localhost/evil",
        b"http://localhost:port",
        b"http://localhost http://evil.example",
        b"http://localhost\\.evil.example",
        b"http://localhost\x00",
        b"http://\xff\xfe",
    ],
)
def test_any_other_page_may_not(origin: bytes) -> None:
    assert not asgi.is_allowed_origin([(b"origin", origin)])


def test_a_client_that_is_no_browser_names_no_origin_and_may() -> None:
    assert asgi.is_allowed_origin([(b"host", b"anything.example")])


class Server:
    """The server's side of one ASGI call: what the application gets and what it says."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.said: asyncio.Queue[Event] = asyncio.Queue()

    async def send(self, event: Event) -> None:
        self.said.put_nowait(event)

    async def next(self) -> Event:
        return await asyncio.wait_for(self.said.get(), WAIT_S)


def handshake(path: str, *headers: tuple[bytes, bytes]) -> Event:
    return {"type": "websocket", "path": path, "headers": list(headers), "client": ("192.0.2.7", 5)}


@pytest.mark.parametrize(
    "scope",
    [
        handshake("/nowhere"),
        handshake("/ws/more"),
        handshake("/WS"),
        handshake("//"),
        handshake("/ws", (b"origin", b"https://evil.example")),
    ],
)
async def test_a_handshake_elsewhere_or_from_a_foreign_page_is_closed_before_it_is_accepted(
    scope: Event,
) -> None:
    server = Server()
    server.events.put_nowait({"type": "websocket.connect"})
    await asgi.application(scope, server.events.get, server.send)
    assert await server.next() == {"type": "websocket.close"}
    assert server.said.empty()


@pytest.mark.django_db(transaction=True)
async def test_the_node_lives_from_the_start_of_the_server_to_its_end() -> None:
    server = Server()
    lifespan = asyncio.ensure_future(asgi.application({"type": "lifespan"}, server.events.get, server.send))
    server.events.put_nowait({"type": "lifespan.startup"})
    assert await server.next() == {"type": "lifespan.startup.complete"}
    first = node.get_node()
    for path in asgi.SOCKET_PATHS:
        assert await is_accepted(handshake(path))
    assert node.get_node() is first
    server.events.put_nowait({"type": "lifespan.shutdown"})
    assert await server.next() == {"type": "lifespan.shutdown.complete"}
    await lifespan
    assert asyncio.get_running_loop() not in node._nodes


async def is_accepted(scope: Event) -> bool:
    server = Server()
    socket = asyncio.ensure_future(asgi.application(scope, server.events.get, server.send))
    server.events.put_nowait({"type": "websocket.connect"})
    answer = await server.next()
    server.events.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await asyncio.wait_for(socket, WAIT_S)
    return bool(answer["type"] == "websocket.accept")
