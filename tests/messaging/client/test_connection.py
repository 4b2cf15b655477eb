from __future__ import annotations

import asyncio

import pytest

from messaging.client.connection import Connection
from messaging.client.faults import ConnectionLost
from messaging.protocol.messages import Ack, ChatMessage, Connect, ConnectSuccess, SearchResults, SearchUsers
from tests.messaging.client.scripted_server import Peer, ScriptedServer, chat_message, connected


async def _ignore(_message: ChatMessage) -> bool:
    return False


async def _open(server: ScriptedServer) -> tuple[Connection, Peer]:
    return await Connection.open(server.url, _ignore, request_s=10), await server.accept()


def _reply() -> asyncio.Future[object]:
    return asyncio.get_running_loop().create_future()


async def test_what_was_asked_before_the_close_is_sent_before_it(server: ScriptedServer) -> None:
    connection, peer = await _open(server)
    reply = _reply()
    connection.request(Connect(session_token="t0k3n", receipts=True), ConnectSuccess, "1", reply)
    await peer.request()
    await peer.answer(connected())
    await reply
    connection.confirm("m1")
    await connection.close()
    assert await peer.received() == ["m1"]


async def test_a_request_on_an_ended_connection_is_lost_at_once(server: ScriptedServer) -> None:
    connection, peer = await _open(server)
    peer.cut()
    await connection.ended()
    reply = _reply()
    connection.request(SearchUsers(query="x"), SearchResults, "1", reply)
    with pytest.raises(ConnectionLost):
        await reply


async def test_a_request_that_outlives_the_connection_is_not_told(server: ScriptedServer) -> None:
    connection, peer = await _open(server)
    reply = _reply()
    connection.request(chat_message(1), Ack, chat_message(1).id, reply, is_resent=True)
    await peer.request()
    peer.cut()
    assert await connection.ended() == 1006
    assert not reply.done()


async def test_the_close_code_is_the_servers(server: ScriptedServer) -> None:
    connection, peer = await _open(server)
    await peer.close(1012)
    assert await connection.ended() == 1012
