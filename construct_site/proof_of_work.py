"""Proof of work: text that was searched for, whose hash shows it. Pure: no Django, no I/O.

Work is a challenge, a colon and a nonce of decimal digits. It proves `n` bits if the
SHA-256 (FIPS 180-4) of its ASCII bytes begins with `n` zero bits: one nonce in 2**n
does. Finding one takes 2**n hashes on average, checking it takes one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

BITS_MAX = 28
"""268 million hashes on average: minutes."""
NONCE_DIGITS_MAX = 20
_DIGEST_BITS = 256


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a client is to solve, as it stands on the wire."""

    challenge: str
    """ASCII, without a colon."""
    bits: int
    """1 to 28."""
    expires: int
    """Unix seconds by the server's clock."""


def proves(work: str, bits: int) -> bool:
    """Whether the hash of `work`, which is ASCII, begins with `bits` zero bits."""
    return _is_below(hashlib.sha256(work.encode("ascii")), bits)


def search(challenge: str, bits: int, nonces: Iterable[int]) -> str | None:
    """The work with the first of `nonces` that proves `bits`; None if none does. 1 to 2 µs a nonce."""
    begun = hashlib.sha256(f"{challenge}:".encode("ascii"))
    for nonce in nonces:
        attempt = begun.copy()
        attempt.update(b"%d" % nonce)
        if _is_below(attempt, bits):
            return f"{challenge}:{nonce}"
    return None


def _is_below(hashed: hashlib._Hash, bits: int) -> bool:
    return int.from_bytes(hashed.digest(), "big") >> (_DIGEST_BITS - bits) == 0
