"""Password hashers that tell the test what they do."""

from __future__ import annotations

import threading
from typing import ClassVar

from accounts.passwords import OwaspArgon2Hasher

PATIENCE_S = 10


class CountingHasher(OwaspArgon2Hasher):
    """Keeps the length of every password that was hashed."""

    hashed: ClassVar[list[int]] = []

    def encode(self, password: str, salt: str) -> str:
        self.hashed.append(len(password))
        return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        self.hashed.append(len(password))
        return super().verify(password, encoded)


class GatedHasher(OwaspArgon2Hasher):
    """Begins, says so, and goes on when the gate opens."""

    begun: ClassVar[threading.Semaphore] = threading.Semaphore(0)
    gate: ClassVar[threading.Event] = threading.Event()

    def encode(self, password: str, salt: str) -> str:
        self.begun.release()
        self.gate.wait(PATIENCE_S)
        return super().encode(password, salt)
