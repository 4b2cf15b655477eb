"""Prekey bundles and updates on the wire: what they must be, checked before anything is stored.

Pure: no Django, no I/O; the server, the client and the tests share it.

``publicKey`` and ``update`` are standard padded base64 of a MessagePack map of
base64 strings. Curve25519 keys must be canonical and of large order: a key of
small order makes every agreement with it known to all.

Source: protocol section 2 (shapes), sections 4 and 5 (codes); RFC 7748 section 7
and https://cr.yp.to/ecdh.html (X25519 keys); RFC 8032 (Ed25519).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgpack
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from construct_site.errors import ConstructError, ErrorCode

KEY_BYTES = 32
SIGNATURE_BYTES = 64
ENCODED_CHARS = 4096
"""Longest `publicKey` or `update` that is read; a bundle without extra keys has 384 characters."""

_FIELD_PRIME = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _FIELD_PRIME - 1,
    }
)
"""All canonical u-coordinates of order 1, 2, 4 and 8 on Curve25519 and its twist."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A user's public keys, each 32 bytes; `signature` (64 bytes) is over `signed_prekey_public`."""

    identity_public: bytes
    signed_prekey_public: bytes
    signature: bytes
    verifying_key: bytes


@dataclass(frozen=True, slots=True)
class PrekeyUpdate:
    """A new signed prekey (32 bytes) and its signature (64 bytes) by the bundle's verifying key."""

    new_prekey_public: bytes
    signature: bytes


def parse_bundle(public_key: str) -> Bundle:
    """Read and verify a `publicKey`.

    Raises ``ConstructError``: INVALID_KEY if it is not base64, INVALID_KEY_BUNDLE
    for all that can be wrong inside, the signature included.
    """
    data = _Map(public_key, not_base64=ErrorCode.INVALID_KEY, otherwise=ErrorCode.INVALID_KEY_BUNDLE)
    bundle = Bundle(
        identity_public=data.agreement_key("identityPublic"),
        signed_prekey_public=data.agreement_key("signedPrekeyPublic"),
        signature=data.take("signature", SIGNATURE_BYTES),
        verifying_key=data.take("verifyingKey", KEY_BYTES),
    )
    if not crypto_core_ed25519_is_valid_point(bundle.verifying_key):
        raise data.refuse("verifyingKey is not a usable Ed25519 key.")
    if not _is_signed(bundle.signed_prekey_public, bundle.signature, bundle.verifying_key):
        raise data.refuse("The signature does not verify.")
    return bundle


def parse_update(update: str) -> PrekeyUpdate:
    """Read an `update`. Its signature is checked by :func:`verify_update`, against the stored key.

    Raises ``ConstructError(INVALID_UPDATE)``.
    """
    data = _Map(update, not_base64=ErrorCode.INVALID_UPDATE, otherwise=ErrorCode.INVALID_UPDATE)
    return PrekeyUpdate(
        new_prekey_public=data.agreement_key("newPrekeyPublic"),
        signature=data.take("signature", SIGNATURE_BYTES),
    )


def verify_update(update: PrekeyUpdate, verifying_key: bytes) -> None:
    """Raise ``ConstructError(INVALID_UPDATE)`` unless the owner of `verifying_key` signed the new prekey."""
    if not _is_signed(update.new_prekey_public, update.signature, verifying_key):
        raise ConstructError(ErrorCode.INVALID_UPDATE, "The signature does not verify.")


def encode_bundle(bundle: Bundle) -> str:
    """The `publicKey` of a bundle, unverified."""
    return _encoded(
        identityPublic=bundle.identity_public,
        signedPrekeyPublic=bundle.signed_prekey_public,
        signature=bundle.signature,
        verifyingKey=bundle.verifying_key,
    )


def encode_update(update: PrekeyUpdate) -> str:
    """The `update` of a prekey update, unverified."""
    return _encoded(newPrekeyPublic=update.new_prekey_public, signature=update.signature)


class _Map:
    """The decoded map of one text, read field by field; every refusal carries the code of that text."""

    def __init__(self, text: str, *, not_base64: ErrorCode, otherwise: ErrorCode) -> None:
        self._code = otherwise
        if len(text) > ENCODED_CHARS:
            raise self.refuse(f"It is longer than {ENCODED_CHARS} characters.")
        data = _from_base64(text)
        if data is None:
            raise ConstructError(not_base64, "It is not padded standard base64.")
        try:
            fields = msgpack.unpackb(
                data, object_pairs_hook=_without_repeats, ext_hook=_no_extension, max_ext_len=0
            )
        except ValueError:
            # Without its cause: it quotes the input.
            raise self.refuse("It is not one MessagePack value without repeated keys.") from None
        if not isinstance(fields, dict):
            raise self.refuse("It is not a MessagePack map.")
        self._fields: dict[str, object] = fields

    def take(self, name: str, size: int) -> bytes:
        """The `size` bytes that the field's base64 stands for."""
        text = self._fields.get(name)
        data = _from_base64(text) if isinstance(text, str) else None
        if data is None or len(data) != size:
            raise self.refuse(f"{name} is not the padded standard base64 of {size} bytes.")
        return data

    def agreement_key(self, name: str) -> bytes:
        """A field that holds an X25519 public key: canonical, and not of small order."""
        key = self.take(name, KEY_BYTES)
        coordinate = int.from_bytes(key, "little")
        if coordinate >= _FIELD_PRIME or coordinate in _SMALL_ORDER:
            raise self.refuse(f"{name} is not a usable X25519 key.")
        return key

    def refuse(self, text: str) -> ConstructError:
        return ConstructError(self._code, text)


def _is_signed(message: bytes, signature: bytes, verifying_key: bytes) -> bool:
    try:
        VerifyKey(verifying_key).verify(message, signature)
    except CryptoError:
        return False
    return True


def _from_base64(text: str) -> bytes | None:
    """The bytes of padded standard base64, None for anything else (RFC 4648 sections 3.5 and 4)."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def _encoded(**fields: bytes) -> str:
    texts = {name: base64.b64encode(value).decode() for name, value in fields.items()}
    return base64.b64encode(msgpack.packb(texts)).decode()


def _without_repeats(pairs: list[tuple[Any, Any]]) -> dict[str, object]:
    if not all(isinstance(name, str) for name, _ in pairs):
        raise ValueError("a key is not a string")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is repeated")
    return fields


def _no_extension(_code: int, _data: bytes) -> None:
    raise ValueError("extension types are not used")
