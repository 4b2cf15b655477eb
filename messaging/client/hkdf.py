"""HKDF with SHA-256. Source: RFC 5869."""

from __future__ import annotations

import hashlib
import hmac

HASH_BYTES = 32
OUTPUT_BYTES_MAX = 255 * HASH_BYTES


def derive(secret: bytes, *, salt: bytes, info: bytes, size: int) -> bytes:
    """`size` bytes (at most 8160) of key from an agreed `secret`, for the one use that `info` names.

    An empty `salt` stands for 32 zero bytes. Raises ``ValueError`` for a larger size.
    """
    if size > OUTPUT_BYTES_MAX:
        raise ValueError(f"at most {OUTPUT_BYTES_MAX} bytes can be derived")
    key = hmac.digest(salt or bytes(HASH_BYTES), secret, hashlib.sha256)
    output = block = b""
    counter = 1
    while len(output) < size:
        block = hmac.digest(key, block + info + bytes([counter]), hashlib.sha256)
        output += block
        counter += 1
    return output[:size]
