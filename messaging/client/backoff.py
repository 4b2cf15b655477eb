"""How long to wait before the next attempt to connect: exponential backoff with full jitter.

Source: protocol contract, section 1; "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
Full jitter spreads the clients of a restarted server evenly over the whole delay.
"""

from __future__ import annotations

BASE_S = 0.5
CAP_S = 30.0
_DOUBLINGS_MAX = 16
"""Far beyond the cap; keeps the power a small number for a client that tries for weeks."""


def delay_s(attempt: int, chance: float) -> float:
    """The wait before attempt `attempt` (the first is 0), for a `chance` drawn evenly from 0 to 1.

    Between 0 and the lesser of 0.5 s doubled `attempt` times and 30 s.
    """
    return min(CAP_S, BASE_S * 2.0 ** min(attempt, _DOUBLINGS_MAX)) * chance
