"""The sentences of a refusal, with the time after which a retry can succeed."""

from __future__ import annotations

from math import ceil

from construct_site.errors import ConstructError, ErrorCode


def too_many(noun: str, retry_after_s: float) -> ConstructError:
    """RATE_LIMIT_EXCEEDED: "Too many `noun`. Try again in …"."""
    return ConstructError(
        ErrorCode.RATE_LIMIT_EXCEEDED,
        f"Too many {noun}. Try again in {in_words(retry_after_s)}.",
        retry_after_s=retry_after_s,
    )


def in_words(duration_s: float) -> str:
    """A duration for people, rounded up: waiting that long is always enough."""
    seconds = max(1, ceil(duration_s))
    if seconds < 120:
        return f"{seconds} second{'s' * (seconds > 1)}"
    if seconds < 7200:
        return f"{ceil(seconds / 60)} minutes"
    return f"{ceil(seconds / 3600)} hours"
