"""The addresses of sessions, encrypted: for their owner's eyes."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from accounts.peers import UNKNOWN


def seal(session_id: UUID, address: str) -> bytes | None:
    """XChaCha20-Poly1305 under a key of the server's secret, bound to the session; None if none is to be kept."""
    if not settings.CONSTRUCT.session_addresses or address == UNKNOWN:
        return None
    return bytes(_cipher(settings.SECRET_KEY).encrypt(address.encode(), session_id.bytes))


def unseal(session_id: UUID, sealed: bytes | memoryview | None) -> str | None:
    """The address; None where none was kept, none is to be shown, or the server's secret is another now."""
    if sealed is None or not settings.CONSTRUCT.session_addresses:
        return None
    try:
        return _cipher(settings.SECRET_KEY).decrypt(bytes(sealed), session_id.bytes).decode()
    except CryptoError:
        return None


@lru_cache(maxsize=4)
def _cipher(secret: str) -> Aead:
    return Aead(hashlib.blake2b(secret.encode(), digest_size=32, person=b"construct.seal").digest())
