"""Meters of one socket. No input or output; the caller hands in the time and closes the socket.

``now`` is in seconds of any clock that never runs backwards
(``time.monotonic()`` or the loop's). With limits off a meter never trips.
"""

from __future__ import annotations

from collections import deque

from django.conf import settings

from construct_site.env import Config
from construct_site.limits.table import MINUTE_S

FLOOD_SPAN_S = 5
"""The rates of :class:`FloodMeter` are averages over this time."""


class BadFrameMeter:
    """Frames that could not be read: ``bad_frames_per_minute`` within a minute close the socket (4400)."""

    __slots__ = ("_at", "_limit")

    def __init__(self, config: Config | None = None) -> None:
        config = config or settings.CONSTRUCT
        self._limit = config.bad_frames_per_minute if config.limits_on else None
        self._at: deque[float] | None = None

    def count(self, now: float) -> bool:
        """Count one bad frame. True: it was one too many, close the socket."""
        if self._limit is None:
            return False
        if self._at is None:  # most sockets never get here
            self._at = deque(maxlen=max(1, self._limit))
        self._at.append(now)
        return len(self._at) >= self._limit and now - self._at[0] < MINUTE_S


class FloodMeter:
    """Frames and bytes a second, averaged over 5 s: beyond either rate the socket is closed (4429).

    Two leaky buckets of five seconds' worth each. A client that stays within
    the rate over every stretch of 5 s never trips it; whatever the pattern, no
    stretch of 5 s passes with more than twice the rate.
    """

    __slots__ = ("_at", "_bytes", "_bytes_per_s", "_frames", "_frames_per_s", "_is_on")

    def __init__(self, config: Config | None = None) -> None:
        config = config or settings.CONSTRUCT
        self._is_on = config.limits_on
        self._frames_per_s = config.flood_frames_per_s
        self._bytes_per_s = config.flood_bytes_per_s
        self._at = 0.0
        self._frames = self._bytes = 0.0

    def count(self, now: float, frame_bytes: int) -> bool:
        """Count one frame of `frame_bytes`. True: the socket floods, close it."""
        if not self._is_on:
            return False
        passed_s = now - self._at
        self._at = now
        # The buckets start empty, so the first call's arbitrary `passed_s` leaks nothing.
        frames = self._frames - passed_s * self._frames_per_s
        size = self._bytes - passed_s * self._bytes_per_s
        self._frames = frames = frames + 1 if frames > 0 else 1.0
        self._bytes = size = size + frame_bytes if size > 0 else float(frame_bytes)
        return frames > FLOOD_SPAN_S * self._frames_per_s or size > FLOOD_SPAN_S * self._bytes_per_s
