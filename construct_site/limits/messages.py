"""Messages sent, counted on the hot path: in process memory, without awaiting anything."""

from __future__ import annotations

import time
from uuid import UUID

from django.conf import settings

from construct_site.env import Config
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits.memory import ExpiringRecords
from construct_site.limits.refusals import in_words, too_many
from construct_site.limits.table import HOUR_S

BLOCK_S = HOUR_S


class MessageWindow:
    """One user's hour, begun by its first message, and the block that may follow. Times in Unix seconds.

    `own` attempts were counted here, `others` by the other processes when they
    were last heard of.
    """

    __slots__ = ("blocked_above", "blocked_until", "ends_at", "expires_at", "others", "own")

    def __init__(self, now: float) -> None:
        self.own = self.others = 0
        self.blocked_until = 0.0
        self.blocked_above = 0
        """The hourly limit that brought the block: a higher one is not held to it."""
        self.ends_at = self.expires_at = now + HOUR_S

    def block(self, until: float, per_hour: int) -> None:
        self.blocked_until, self.blocked_above = until, per_hour
        self.expires_at = max(self.ends_at, until)

    def is_blocked(self, now: float, per_hour: int) -> bool:
        return self.blocked_until > now and per_hour <= self.blocked_above


class MessageCounter:
    """Counts attempts to send, per user, in an hour that begins with the user's first.

    Attempts beyond ``messages_per_hour`` are refused and still counted; the
    ``messages_block_at``-th blocks the user for an hour from then on, after which
    a new hour begins. Attempts while blocked count as nothing. Who has a limit of
    their own is blocked as far beyond it as others beyond theirs. Once the limit is
    raised the block is over, and what was counted in the hour counts towards the new one.

    The numbers of other processes arrive about every second
    (:mod:`construct_site.limits.reconcile`), so a user with sockets on several can
    exceed a limit by what it sends on the others within that second.
    """

    def __init__(self, *, is_shared: bool) -> None:
        self._is_shared = is_shared
        self.windows: ExpiringRecords[int, MessageWindow] = ExpiringRecords()
        self.changed: set[int] = set()
        """Users (``UUID.int``) counted since the last reconciliation took them; empty without one."""

    def count(self, user_id: UUID, per_hour: int | None = None) -> None:
        """Count one attempt. `per_hour`: a limit in the place of ``messages_per_hour``.

        Raises RATE_LIMIT_EXCEEDED over the limit, RATE_LIMIT_BLOCKED for the
        attempt that brings the block, USER_BLOCKED while it lasts.
        """
        config: Config = settings.CONSTRUCT
        if not config.limits_on:
            return
        now = time.time()
        block_at = config.messages_block_at
        if per_hour is None:
            per_hour = config.messages_per_hour
        else:
            block_at = per_hour + max(1, block_at - config.messages_per_hour)
        user = user_id.int  # hashing the UUID itself costs a call into Python
        window = self.windows.get(user, now) or self.windows.put(user, MessageWindow(now), now)
        if window.is_blocked(now, per_hour):
            raise ConstructError(
                ErrorCode.USER_BLOCKED,
                f"Still blocked for too many messages. Try again in {in_words(window.blocked_until - now)}.",
            )
        if window.ends_at <= now:
            # The limit was raised during a block that is longer than the hour.
            window = self.windows.put(user, MessageWindow(now), now)
        window.own += 1
        if self._is_shared:
            self.changed.add(user)
        count = window.own + window.others
        if count >= block_at:
            window.block(now + BLOCK_S, per_hour)
            raise ConstructError(
                ErrorCode.RATE_LIMIT_BLOCKED, f"Too many messages. You are blocked for {in_words(BLOCK_S)}."
            )
        if count > per_hour:
            raise too_many("messages", window.ends_at - now)
