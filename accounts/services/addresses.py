"""The addresses of sessions, encrypted: for their owner's eyes."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from accounts.peers import UNKNOWN
from construct_site.derivation import derived_key


def seal(session_id: UUID, address: str) -> bytes | None:
    """XChaCha20-Poly1305 under a key of the server's secret, bound to the session; None if none is to be kept."""
    if not settings.CONSTRUCT.session_addresses or address == UNKNOWN:
        return None
    return bytes(_cipher().encrypt(address.encode(), session_id.bytes))


def unseal(session_id: UUID, sealed: bytes | memoryview | None) -> str | None:
    """The address; None where none was kept, none is to be shown, or the server's secret is another now."""
    if sealed is None or not settings.CONSTRUCT.session_addresses:
        return None
    try:
        return _cipher().decrypt(bytes(sealed), session_id.bytes).decode()
    except CryptoError:
        return None


def _cipher() -> Aead:
    return Aead(derived_key(b"construct.seal"))
