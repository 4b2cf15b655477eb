"""Keys and keyed hashes that follow from the server's secret, each for one purpose."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from django.conf import settings

KEY_BYTES = 32
DIGEST_BYTES = 16


def derived_key(purpose: bytes) -> bytes:
    """32 bytes that follow from ``SECRET_KEY`` and `purpose` (at most 16 bytes) by BLAKE2b (RFC 7693)."""
    return _derive(settings.SECRET_KEY, purpose)


def keyed_digest(purpose: bytes, data: bytes) -> bytes:
    """16 bytes of `data`, keyed: who lacks the server's secret cannot try what it may have been."""
    return hashlib.blake2b(data, key=derived_key(purpose), digest_size=DIGEST_BYTES).digest()


@lru_cache(maxsize=16)
def _derive(secret: str, purpose: bytes) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=KEY_BYTES, person=purpose).digest()
