"""Codes that people are handed: invites, password resets.

A code is a prefix, which secret scanners look for, and 128 random bits in URL-safe
base64. It is shown once, to who made it; the database finds it by a keyed digest,
which needs no salt and no slow hash, since there is nothing to guess.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from construct_site.derivation import keyed_digest

CODE_BYTES = 16


@dataclass(frozen=True, slots=True)
class CodeKind:
    """Codes for one purpose: `purpose` (at most 16 bytes) keys their digests, so none serves for another."""

    prefix: str
    purpose: bytes

    def make(self) -> str:
        """A fresh code."""
        return self.prefix + secrets.token_urlsafe(CODE_BYTES)

    def digest(self, code: str) -> bytes:
        """The 16 bytes by which a code is found; for any other text, those of no code."""
        # surrogatepass: text from JSON can hold what UTF-8 cannot.
        return keyed_digest(self.purpose, code.encode("utf-8", "surrogatepass"))
