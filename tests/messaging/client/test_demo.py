"""What the demonstration says when it does not go well; tests/live plays it on the real server."""

from __future__ import annotations

import asyncio

import pytest

from messaging.client.demo import DemoFailed, run_demo
from messaging.protocol.messages import Error, Register, RegisterSuccess
from tests.messaging.client.scripted_server import USER_ID, Peer, ScriptedServer


async def _register(peer: Peer, username: str | None = None) -> None:
    payload = (await peer.request()).payload
    assert isinstance(payload, Register)
    await peer.answer(
        RegisterSuccess(
            user_id=USER_ID,
            username=username or payload.username,
            display_name="",
            session_token="t0k3n",
            expires=1,
        )
    )


async def test_no_server_is_a_failure() -> None:
    with pytest.raises(DemoFailed, match="ConnectionLost"):
        await run_demo("ws://127.0.0.1:1", "ws://127.0.0.1:1", print)


async def test_a_refusal_is_a_failure_that_names_the_reason(server: ScriptedServer) -> None:
    demo = asyncio.create_task(run_demo(server.url, server.url, print))
    alice = await server.accept()
    request = await alice.request()
    await alice.answer(Error(code="REGISTRATION_CLOSED", message="Closed.", request_id=request.request_id))
    with pytest.raises(DemoFailed) as failed:
        await demo
    assert str(failed.value) == "the server refused a request: REGISTRATION_CLOSED: Closed."


async def test_at_the_limit_of_registrations_it_says_what_the_limit_is(server: ScriptedServer) -> None:
    demo = asyncio.create_task(run_demo(server.url, server.url, print))
    alice = await server.accept()
    request = await alice.request()
    text = "Too many registrations; try again in 42 min."
    await alice.answer(Error(code="RATE_LIMIT_EXCEEDED", message=text, request_id=request.request_id))
    with pytest.raises(DemoFailed) as failed:
        await demo
    said = str(failed.value)
    assert said.startswith(f"{text} Each demonstration registers two accounts, so five in an hour")
    assert "CONSTRUCT_REGISTRATIONS_PER_HOUR" in said
    assert "(" not in said


async def test_a_step_that_comes_out_differently_is_a_failure(server: ScriptedServer) -> None:
    said: list[str] = []
    demo = asyncio.create_task(run_demo(server.url, server.url, said.append))
    alice, bob = await server.accept(), await server.accept()
    await _register(alice)
    await _register(bob, "mallory")
    with pytest.raises(DemoFailed, match=r"the registered name should be 'bob-[0-9a-f]+' and is 'mallory'"):
        await demo
    assert len(said) == 1
