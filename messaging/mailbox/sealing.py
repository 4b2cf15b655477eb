"""What a mailbox row shows to someone who reads the disk: the cryptography of its columns. Pure.

Encrypted frame, in bytes::

    1   format, 0x01
    4   key id: first bytes of SHA-256 of the key
    24  nonce, random
    n   XChaCha20-Poly1305 ciphertext and its 16-byte tag
        (libsodium crypto_aead_xchacha20poly1305_ietf)

The associated data is the recipient's 16 id bytes and the row's name, so a row
that was copied to another recipient or under another name does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from nacl import exceptions
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)

from messaging.mailbox.letters import Digests

KEY_BYTES: int = crypto_aead_xchacha20poly1305_ietf_KEYBYTES
DIGEST_BYTES = 16
_FORMAT = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES: int = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_HEADER_BYTES = len(_FORMAT) + _KEY_ID_BYTES + _NONCE_BYTES


class Unreadable(Exception):
    """The frame's key is not in the ring, or the row is not the one that was written."""


class KeyRing:
    """Keys of the mailbox: the first encrypts, all decrypt."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: 32 bytes each, at least one, newest first."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("a key ring needs keys of 32 bytes")
        self._keys = {hashlib.sha256(key).digest()[:_KEY_ID_BYTES]: key for key in keys}
        self._newest_key = keys[0]
        self._newest_prefix = _FORMAT + hashlib.sha256(keys[0]).digest()[:_KEY_ID_BYTES]

    def encrypt(self, frame: bytes, recipient: bytes, name: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(
            frame, recipient + name, nonce, self._newest_key
        )
        return self._newest_prefix + nonce + sealed

    def decrypt(self, sealed: bytes, recipient: bytes, name: bytes) -> bytes:
        """The frame. Raises :class:`Unreadable`."""
        key = self._keys.get(sealed[1 : 1 + _KEY_ID_BYTES])
        if key is None or sealed[:1] != _FORMAT:
            raise Unreadable
        nonce = sealed[1 + _KEY_ID_BYTES : _HEADER_BYTES]
        try:
            frame: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed[_HEADER_BYTES:], recipient + name, nonce, key
            )
        except (exceptions.CryptoError, ValueError, TypeError) as error:
            raise Unreadable from error
        return frame


class Names:
    """A ring of dedup keys: HMAC-SHA-256 cut to 16 bytes, one label a purpose."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: 32 bytes each, at least one; what is stored is named under the first."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("a ring of dedup keys needs keys of 32 bytes")
        self._keys = tuple(keys)

    def digests(
        self,
        *,
        sender: bytes,
        recipient: bytes,
        message_id: bytes,
        ephemeral_public_key: bytes,
        message_number: int,
        content: str,
    ) -> list[Digests]:
        """The digests of a message, one for each key in the order of the ring.

        Ids are the 16 bytes of a UUID, the ephemeral key has 32. Before the content
        all parts have fixed lengths, so no two messages are hashed from the same bytes.
        """
        name = b"name" + sender + recipient + message_id
        body = b"body" + ephemeral_public_key + message_number.to_bytes(8, "big") + content.encode()
        pair = b"pair" + sender + recipient
        return [Digests(_digest(key, name), _digest(key, body), _digest(key, pair)) for key in self._keys]


def _digest(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")[:DIGEST_BYTES]
