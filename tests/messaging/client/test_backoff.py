from __future__ import annotations

import pytest

from messaging.client.backoff import delay_s


@pytest.mark.parametrize(
    ("attempt", "longest_s"), [(0, 0.5), (1, 1), (2, 2), (5, 16), (6, 30), (7, 30), (10**9, 30)]
)
def test_the_longest_delay_doubles_up_to_the_cap(attempt: int, longest_s: float) -> None:
    assert delay_s(attempt, 1.0) == longest_s


@pytest.mark.parametrize("attempt", [0, 3, 100])
def test_the_jitter_is_full(attempt: int) -> None:
    assert delay_s(attempt, 0.0) == 0
    assert delay_s(attempt, 0.25) == delay_s(attempt, 1.0) / 4
