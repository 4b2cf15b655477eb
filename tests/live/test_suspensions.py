"""A suspension closes the sockets of the account at once, on every process, by the event alone."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.dialogue import Dialogue
from tests.live.nodes import Nodes, Sockets
from tests.live.test_sessions import SUSPENDED, act, admin_of

SUSPENDED_S = 3 * 1.0
"""Three times the second that it may take."""
SETTINGS = {"CONSTRUCT_SWEEP_S": "3600"}
ERROR = {"type": "error", "payload": {"code": "ACCOUNT_SUSPENDED", "message": SUSPENDED}}


async def assert_suspended(*sockets: Dialogue) -> None:
    async with asyncio.timeout(SUSPENDED_S):
        for socket in sockets:
            assert await socket.ending() == ([ERROR], 4403)


async def test_of_a_moderator(nodes: Nodes, sockets: Sockets) -> None:
    staff, s = await sockets.register(nodes.there)
    here, a = await sockets.register(nodes.here)
    there = await sockets.resume(a, nodes.there)
    browser = admin_of(nodes, s)
    form = {"reason": "ticket 7", "public_reason": "Spam."}
    page = browser.post(f"/admin/accounts/user/act/suspend/?ids={a.user_id}", form)
    await assert_suspended(here, there)
    assert "Suspend: done for 1 of 1." in page
    await staff.finish()


@pytest.mark.parametrize("nodes", ["distributed"], indirect=True)
async def test_of_another_process(nodes: Nodes, sockets: Sockets) -> None:
    here, a = await sockets.register(nodes.here)
    there = await sockets.resume(a, nodes.there)
    act(nodes, "suspend", a, "reason='ticket 7', public_reason='Spam.'")
    await assert_suspended(here, there)
