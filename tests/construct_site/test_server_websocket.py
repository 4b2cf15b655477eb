"""The socket through the real server: pings, pongs, close codes and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from construct_site.errors import CloseCode
from construct_site.server.websocket import ConstructWebSocketProtocol
from tests.construct_site.probe import SECRET
from tests.construct_site.probes import TRANSPORT_BYTES, Probe, listening

WAIT_S = 10.0
Event = dict[str, Any]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    with listening(tmp_path_factory.mktemp("probe")) as running:
        yield running


@pytest.fixture
async def client(probe: Probe) -> AsyncIterator[ClientConnection]:
    """A socket whose scope was told and read."""
    async with connect(url(probe), ping_interval=None, compression=None) as connection:
        await frame(connection)
        yield connection


def url(probe: Probe, path: str = "/ws") -> str:
    return f"ws://127.0.0.1:{probe.port}{path}"


async def frame(connection: ClientConnection) -> bytes:
    received = await asyncio.wait_for(connection.recv(), WAIT_S)
    assert isinstance(received, bytes)
    return received


async def let_it(connection: ClientConnection, *events: Event) -> None:
    """Have the application send these events."""
    await connection.send(msgpack.packb(list(events)))


def sent(data: bytes) -> Event:
    return {"type": "websocket.send", "bytes": data}


def ping(payload: bytes) -> Event:
    return {"type": "websocket.ping", "payload": payload}


def close(code: int) -> Event:
    return {"type": "websocket.close", "code": code}


class Recorder:
    """Notes every frame that a connection receives, pings too."""

    def __init__(self, connection: ClientConnection) -> None:
        self.frames: list[tuple[Opcode, bytes]] = []
        self._receive = connection.protocol.recv_frame
        connection.protocol.recv_frame = self._note  # type: ignore[assignment, method-assign]

    def _note(self, received: Frame) -> None:
        self.frames.append((received.opcode, bytes(received.data)))
        self._receive(received)


async def test_the_application_is_told_what_the_server_can_do(probe: Probe) -> None:
    async with connect(url(probe)) as connection:
        assert msgpack.unpackb(await frame(connection)) == {
            "extensions": ["websocket.direct", "websocket.drain", "websocket.ping"],
            "root_path": "",
            "client": list(connection.local_address),
        }


async def test_the_application_is_told_the_address_of_an_ipv6_client(tmp_path: Path) -> None:
    with listening(tmp_path, HOST="::1") as probe:
        async with connect(f"ws://[::1]:{probe.port}/ws") as connection:
            host, port, *_ = connection.local_address
            assert msgpack.unpackb(await frame(connection))["client"] == [host, port] == ["::1", port]


async def test_a_client_cannot_set_the_root_path(probe: Probe) -> None:
    async with connect(url(probe), additional_headers={"Daphne-Root-Path": "/evil"}) as connection:
        assert msgpack.unpackb(await frame(connection))["root_path"] == ""


async def test_a_ping_goes_out_in_order_with_the_frames_around_it(client: ClientConnection) -> None:
    recorder = Recorder(client)
    await let_it(client, sent(b"before"), ping(b"one"), sent(b"after"))
    assert [await frame(client) for _ in range(3)] == [b"before", b"after", b"pong one"]
    assert [each for each in recorder.frames if each[1] != b"pong one"] == [
        (Opcode.BINARY, b"before"),
        (Opcode.PING, b"one"),
        (Opcode.BINARY, b"after"),
    ]


@pytest.mark.parametrize("payload", [b"", bytes(range(125))])
async def test_a_pong_reaches_the_application_byte_for_byte(client: ClientConnection, payload: bytes) -> None:
    await let_it(client, ping(payload))
    assert await frame(client) == b"pong " + payload


async def test_a_pong_that_nobody_asked_for_reaches_the_application(client: ClientConnection) -> None:
    await client.pong(b"unasked")
    assert await frame(client) == b"pong unasked"


@pytest.mark.parametrize("code", CloseCode)
async def test_every_close_code_of_ours_reaches_the_client(client: ClientConnection, code: CloseCode) -> None:
    await let_it(client, sent(b"last words"), close(code))
    assert await frame(client) == b"last words"
    with pytest.raises(ConnectionClosed):
        await frame(client)
    assert client.close_code == code


async def test_only_the_first_close_counts_and_none_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    with listening(tmp_path_factory.mktemp("probe")) as probe:
        async with connect(url(probe)) as connection:
            await frame(connection)
            await let_it(connection, close(4401), close(1012), ping(b"late"), sent(b"late"))
            with pytest.raises(ConnectionClosed):
                await frame(connection)
            assert connection.close_code == 4401
        assert [line for line in probe.said() if line.startswith(("raised", "disconnect"))] == [
            "disconnect 4401"
        ]


async def test_a_message_above_the_transports_limit_is_closed_with_1009(client: ClientConnection) -> None:
    await client.send(b"x" * (TRANSPORT_BYTES + 1))
    with pytest.raises(ConnectionClosed):
        await frame(client)
    assert client.close_code == CloseCode.TOO_LARGE


@pytest.mark.parametrize(("path", "status"), [("/refused", 403), ("/fails", 500)])
async def test_a_refused_handshake_is_answered_with_a_status_and_no_name(
    probe: Probe, path: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url(probe, path))
    assert refused.value.response.status_code == status
    assert "Server" not in refused.value.response.headers
    assert SECRET not in str(refused.value.response)
    assert SECRET not in probe.log.read_text()


async def test_an_accepted_handshake_does_not_name_the_program(client: ClientConnection) -> None:
    assert client.response is not None
    assert "Server" not in client.response.headers


async def test_the_end_of_the_server_lets_the_application_finish_and_close(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with listening(tmp_path_factory.mktemp("probe")) as probe:
        async with connect(url(probe)) as connection:
            await frame(connection)
            probe.end()
            assert await frame(connection) == b"last"
            with pytest.raises(ConnectionClosed):
                await frame(connection)
            assert connection.close_code == CloseCode.RESTARTING
        assert probe.said()[-3:] == ["drain", "disconnect 1012", "end"]


async def test_an_application_that_does_not_close_is_closed_when_the_time_is_over(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with listening(tmp_path_factory.mktemp("probe"), CONSTRUCT_DRAIN_S="1") as probe:
        async with connect(url(probe, "/stays")) as connection:
            await frame(connection)
            probe.end()
            assert await asyncio.to_thread(probe.await_line, "drain") == ""
            # Too late to be heard: the client sends it again elsewhere.
            await let_it(connection, sent(b"an answer"))
            with pytest.raises(ConnectionClosed):
                await frame(connection)
            assert connection.close_code == CloseCode.RESTARTING
        assert probe.said()[-1] == "end"


def test_daphnes_own_pings_stay_off() -> None:
    """It would ping an open socket that was quiet for 20 s; without a server any ping fails."""
    protocol = ConstructWebSocketProtocol()
    protocol.state = protocol.STATE_OPEN
    protocol.last_ping = 0
    protocol.check_timeouts()
    assert protocol.last_ping == 0
