"""Rotating a prekey: the one way for the socket and for REST."""

from __future__ import annotations

from uuid import UUID

from construct_site.database import run_in_database_thread
from construct_site.limits import RateLimit, get_limiter
from keys import services
from keys.bundle import parse_update


async def rotate(user_id: UUID, update: str, *, asked_by: UUID) -> None:
    """Put the prekey of `update` in the place of the user's present one; it is served from the next fetch on.

    Raises ``ConstructError``: INVALID_UPDATE, RATE_LIMIT_EXCEEDED, USER_NOT_FOUND, AUTH_REQUIRED if the
    session `asked_by` has ended meanwhile. What is refused for its form uses up nothing of the limit.
    """
    parsed = parse_update(update)
    await get_limiter().hit(RateLimit.ROTATIONS, user_id)
    await run_in_database_thread(services.rotate_prekey, user_id, parsed, asked_by=asked_by)
