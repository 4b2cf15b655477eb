"""Solving a challenge in a thread."""

from __future__ import annotations

import asyncio

import pytest

from construct_site.proof_of_work import BITS_MAX, Challenge
from messaging.client.work import solve

WAIT_S = 30.0


async def test_the_event_loop_goes_on_meanwhile() -> None:
    solving = asyncio.create_task(solve(Challenge("challenge", 16, 0)))
    turns = 0
    while not solving.done():
        await asyncio.sleep(0)
        turns += 1
    assert await solving == "challenge:162754"
    assert turns > 5, "a search in the loop would leave it one"


async def test_who_is_cancelled_ends() -> None:
    solving = asyncio.create_task(solve(Challenge("challenge", BITS_MAX, 0)))
    await asyncio.sleep(0)
    solving.cancel()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(asyncio.CancelledError):
            await solving
