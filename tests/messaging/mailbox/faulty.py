"""A real store with faults at its edge, and a gate in front of each commit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from messaging.mailbox.letters import Caps, Letter, Outcome
from messaging.mailbox.store import Store, get_store

PATIENCE_S = 10.0


class FaultyStore(Store):
    def __init__(self) -> None:
        self._real = get_store()
        self.batches: list[list[Letter]] = []
        """The letters of every put that was tried."""
        self.confirmations: list[list[int]] = []
        self.put_faults: deque[Exception] = deque()
        """Raised by the next puts, one each, in the place of a commit."""
        self.confirm_faults: deque[Exception] = deque()
        self.poison: dict[bytes, Exception] = {}
        """Sealed frames that spoil the batch that they are in, and what is raised then."""
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        """Puts wait until it is set, as it is at first."""
        self.gate.set()

    def put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        self.batches.append(list(letters))
        self.begun.release()
        self.gate.wait(PATIENCE_S)
        if self.put_faults:
            raise self.put_faults.popleft()
        for letter in letters:
            if letter.sealed in self.poison:
                raise self.poison[letter.sealed]
        return self._real.put(letters, caps, now)

    def _store(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        return self._real._store(letters, caps, now)

    def _lock_pairs(self, letters: Sequence[Letter]) -> None:
        self._real._lock_pairs(letters)

    def confirm(self, row_ids: Sequence[int], now: datetime) -> None:
        self.confirmations.append(list(row_ids))
        if self.confirm_faults:
            raise self.confirm_faults.popleft()
        self._real.confirm(row_ids, now)

    def _fetch_page(
        self, recipient_id: UUID, handed: list[int], messages: int, size: int
    ) -> list[tuple[Any, ...]]:
        return self._real._fetch_page(recipient_id, handed, messages, size)
