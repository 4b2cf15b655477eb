"""The login door: how often may a password be tried."""

from __future__ import annotations

import asyncio
import time

from django.conf import settings

from construct_site.limits.attempts import UNDER_WAY, Guard, MemoryAttempts, Outcome, SharedAttempts
from construct_site.limits.keys import address_group, counter_key
from construct_site.limits.refusals import too_many
from construct_site.limits.store import SharedStore, StoreAway

PATIENCE_S = 3.0
"""How long a check waits for other attempts of the same name or address to end."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.4


class LoginDoor:
    """Guards every attempt by three counts of failures: per (name, address), per address, per name.

    - Failures count for 15 minutes from the first. The one that reaches the
      limit shuts the door for 30 s from then on; each further one doubles the
      time, up to 15 minutes. 15 minutes after the door could be tried again, all
      is forgotten.
    - Names count casefolded, and whether they exist or not.
    - Who comes without a name (with a reset code) is guarded by the address's count
      alone, which no success clears.
    - An address known to have had a good session of that user is guarded by a
      count of its own alone, so nobody else's failures shut it out.
    - A check takes a place before the password is looked at, and there are only
      as many places as failures left (one, once the limit was reached). Attempts
      made at once cannot get past the limit; those without a place wait up to
      3 s for one. A place that is never given back is free again after 30 s.
    """

    def __init__(self, store: SharedStore | None) -> None:
        self._store = store
        self._shared = SharedAttempts(store) if store else None
        self._memory = MemoryAttempts()

    async def check(self, name: str | None, address: str, *, known: bool) -> None:
        """Take a place. Raises RATE_LIMIT_EXCEEDED when the door is shut or no place came free."""
        if not settings.CONSTRUCT.limits_on:
            return
        guards = _guards(name, address, known=known)
        give_up_at = asyncio.get_running_loop().time() + PATIENCE_S
        pause_s = FIRST_PAUSE_S
        while wait_s := await self._enter(guards):
            if wait_s != UNDER_WAY:
                raise too_many("failed logins", wait_s)
            if asyncio.get_running_loop().time() >= give_up_at:
                raise too_many("logins at once", 1)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def failed(self, name: str | None, address: str, *, known: bool) -> None:
        await self._leave(name, address, known, Outcome.FAILED)

    async def succeeded(self, name: str | None, address: str, *, known: bool) -> None:
        # A success clears the first guard's count. Without a name that is the address's, which stands for everybody.
        outcome = Outcome.ABANDONED if name is None else Outcome.SUCCEEDED
        await self._leave(name, address, known, outcome)

    async def abandoned(self, name: str | None, address: str, *, known: bool) -> None:
        await self._leave(name, address, known, Outcome.ABANDONED)

    async def _enter(self, guards: list[Guard]) -> float:
        now = time.time()
        if self._store and self._shared:
            shared = self._shared
            try:
                return await self._store.run(lambda: shared.enter(guards, now))
            except StoreAway:
                pass
        return self._memory.enter(guards, now)

    async def _leave(self, name: str | None, address: str, known: bool, outcome: Outcome) -> None:
        if not settings.CONSTRUCT.limits_on:
            return
        guards, now = _guards(name, address, known=known), time.time()
        if self._store and self._shared:
            shared = self._shared
            try:
                await self._store.run(lambda: shared.leave(guards, outcome, now))
            except StoreAway:
                pass
            else:
                return
        self._memory.leave(guards, outcome, now)


def _guards(name: str | None, address: str, *, known: bool) -> list[Guard]:
    """The counts that guard an attempt; the first is the one of the name at the address, where there is a name."""
    config, address = settings.CONSTRUCT, address_group(address)
    of_address = Guard(counter_key("login-address", address), config.failed_logins_per_address)
    if name is None:
        return [of_address]
    name, pair_limit = name.casefold(), config.failed_logins_per_name_address
    if known:
        return [Guard(counter_key("login-known", name, address), pair_limit)]
    return [
        Guard(counter_key("login-name-address", name, address), pair_limit),
        of_address,
        Guard(counter_key("login-name", name), config.failed_logins_per_name),
    ]
