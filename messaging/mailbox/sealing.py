"""What a mailbox row shows to someone who reads the disk: the cryptography of its columns. Pure.

Encrypted frame, in bytes::

    1   format, 0x02
    4   key id: first bytes of SHA-256 of the key
    16  salt, random, one for each key ring made (so each process has its own)
    8   counter of that ring, big-endian
    n   ChaCha20-Poly1305 (RFC 8439) ciphertext and its 16-byte tag, under HMAC-SHA-256(key,
        "frame" ‖ salt), with four zero bytes and the counter as nonce: none is used twice

The associated data is the recipient's 16 id bytes and the row's name, so a row
that was copied to another recipient or under another name does not open.

Format 0x01, read and no longer written, has a random 24-byte nonce in the place of
salt and counter and is XChaCha20-Poly1305 under the key itself.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import exceptions
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt

from messaging.mailbox.letters import Digests

KEY_BYTES = 32
DIGEST_BYTES = 16
_FORMAT = b"\x02"
_FIRST_FORMAT = b"\x01"
_KEY_ID_BYTES = 4
_SALT_BYTES = 16
_COUNTER_BYTES = 8
_SALT_AT = len(_FORMAT) + _KEY_ID_BYTES
_COUNTER_AT = _SALT_AT + _SALT_BYTES
_HEADER_BYTES = _COUNTER_AT + _COUNTER_BYTES
_NONCE_BEGIN = bytes(4)


class Unreadable(Exception):
    """The frame's key is not in the ring, or the row is not the one that was written."""


class KeyRing:
    """Keys of the mailbox: the first encrypts, all decrypt. Not thread-safe."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: 32 bytes each, at least one, newest first."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("a key ring needs keys of 32 bytes")
        self._keys = {hashlib.sha256(key).digest()[:_KEY_ID_BYTES]: key for key in keys}
        salt = secrets.token_bytes(_SALT_BYTES)
        self._cipher = _cipher(keys[0], salt)
        self._header = _FORMAT + hashlib.sha256(keys[0]).digest()[:_KEY_ID_BYTES] + salt
        self._counter = itertools.count()

    def encrypt(self, frame: bytes, recipient: bytes, name: bytes) -> bytes:
        counter = next(self._counter).to_bytes(_COUNTER_BYTES, "big")
        return self._header + counter + self._cipher.encrypt(_NONCE_BEGIN + counter, frame, recipient + name)

    def decrypt(self, sealed: bytes, recipient: bytes, name: bytes) -> bytes:
        """The frame. Raises :class:`Unreadable`."""
        key = self._keys.get(sealed[len(_FORMAT) : _SALT_AT])
        if key is None:
            raise Unreadable
        if sealed[:1] == _FIRST_FORMAT:
            return _decrypt_first_format(sealed, recipient + name, key)
        if sealed[:1] != _FORMAT or len(sealed) < _HEADER_BYTES:
            raise Unreadable
        cipher = _cipher(key, sealed[_SALT_AT:_COUNTER_AT])
        nonce = _NONCE_BEGIN + sealed[_COUNTER_AT:_HEADER_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[_HEADER_BYTES:], recipient + name)
        except InvalidTag:
            raise Unreadable from None


@lru_cache(maxsize=256)
def _cipher(key: bytes, salt: bytes) -> ChaCha20Poly1305:
    """One for each process that wrote lately: with it a frame takes 5 µs, a cipher of its own took 14 (2026-11)."""
    return ChaCha20Poly1305(hmac.digest(key, b"frame" + salt, "sha256"))


def _decrypt_first_format(sealed: bytes, associated: bytes, key: bytes) -> bytes:
    nonce, ciphertext = sealed[_SALT_AT:_HEADER_BYTES], sealed[_HEADER_BYTES:]
    try:
        frame: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, associated, nonce, key)
    except (exceptions.CryptoError, ValueError, TypeError) as error:
        raise Unreadable from error
    return frame


class Names:
    """A ring of dedup keys: HMAC-SHA-256 cut to 16 bytes, one label a purpose."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: 32 bytes each, at least one; what is stored is named under the first."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("a ring of dedup keys needs keys of 32 bytes")
        self._digests = [_Hmac(key) for key in keys]

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
        return [Digests(digest(name), digest(body), digest(pair)) for digest in self._digests]

    def pairs(self, *, sender: bytes, recipient: bytes) -> list[bytes]:
        """What names a sender and a recipient alone, under each key in the order of the ring."""
        return [digest(b"pair" + sender + recipient) for digest in self._digests]


class _Hmac:
    """HMAC-SHA-256 (RFC 2104), cut to 16 bytes. Both padded keys are hashed once: 2 µs a digest in the place of 5."""

    def __init__(self, key: bytes) -> None:
        """`key`: at most the 64 bytes of a block."""
        block = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __call__(self, data: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()[:DIGEST_BYTES]
