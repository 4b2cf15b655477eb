"""Solving a challenge without holding up the event loop."""

from __future__ import annotations

import asyncio

from construct_site.proof_of_work import Challenge, search

_NONCES_A_TURN = 20_000
"""Up to 50 ms of a thread; between two turns a cancelled caller ends."""


async def solve(challenge: Challenge) -> str:
    """Work for this challenge, searched for in a thread: 2**bits hashes on average, of 1 to 2 µs each."""
    nonces = range(_NONCES_A_TURN)
    while (work := await asyncio.to_thread(search, challenge.challenge, challenge.bits, nonces)) is None:
        nonces = range(nonces.stop, nonces.stop + _NONCES_A_TURN)
    return work
