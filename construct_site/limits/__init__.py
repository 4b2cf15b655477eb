"""Rate limits, connection caps and per-socket meters: the one table and the one limiter of both edges.

Usage: ``limiter = get_limiter()`` inside the event loop that serves the request.
A check that fails raises :class:`~construct_site.errors.ConstructError`; the
caller has then done nothing yet and does nothing. With
``CONSTRUCT_LIMITS=off`` every check passes.

Counts are shared by all processes through Redis where ``REDIS_URL`` names one.
While it does not answer, each process counts in its own memory: limits are then
per process, never open and never refusing everybody.

Source: protocol contract, section 6.
"""

from __future__ import annotations

from construct_site.limits.limiter import Limiter, get_limiter
from construct_site.limits.meters import BadFrameMeter, FloodMeter
from construct_site.limits.table import RateLimit

__all__ = ["BadFrameMeter", "FloodMeter", "Limiter", "RateLimit", "get_limiter"]
