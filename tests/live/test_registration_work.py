"""Proof of work at registration, on the running server: over the socket alone, and once on all processes."""

from __future__ import annotations

import pytest

from construct_site.proof_of_work import search
from messaging.client import ConstructClient, RequestRefused
from messaging.client.encryption import Keys
from tests.live.dialogue import Frame, code_of, new_username, registration
from tests.live.nodes import Nodes, Sockets

BITS = 10
SETTINGS = {"CONSTRUCT_REGISTRATION_WORK_BITS": str(BITS)}


def work_for(refusal: Frame) -> str:
    asked = refusal["payload"]["work"]
    assert asked["bits"] == BITS
    work = search(asked["challenge"], asked["bits"], range(10**7))
    assert work is not None
    return work


async def test_a_socket_is_told_what_to_solve_and_its_work_is_good_once_on_all_processes(
    nodes: Nodes, sockets: Sockets
) -> None:
    first, second = await sockets.open(nodes.here), await sockets.open(nodes.there)
    refusal = await first.ask("register", registration())
    assert code_of(refusal) == "WORK_REQUIRED"
    work = work_for(refusal)
    await first.register(work=work)
    again = await second.ask("register", registration(work=work))
    assert code_of(again) == "INVALID_WORK"
    await second.register(work=work_for(again))


async def test_work_for_a_challenge_of_one_process_is_taken_by_another(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, there = await sockets.open(nodes.here), await sockets.open(nodes.there)
    await there.register(work=work_for(await here.ask("register", registration())))


async def test_the_reference_client_brings_it_by_itself(nodes: Nodes) -> None:
    username = new_username()
    nodes.private.add(username)
    async with ConstructClient(nodes.here.websocket_url) as client:
        success = await client.register(username, "a long enough password", Keys.generate().bundle())
        assert success.username == username
    async with ConstructClient(nodes.here.websocket_url, work_bits_max=BITS - 1) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.register(new_username(), "a long enough password", Keys.generate().bundle())
        assert refused.value.code == "WORK_REQUIRED"
