"""Sealing of messages, of demonstration grade: real keys and ciphers, no ratchet, no deniability.

Each message has a fresh X25519 key; agreed with the recipient's signed prekey it gives,
through HKDF-SHA256, the key of one ChaCha20-Poly1305. Sender, recipient and message id
are authenticated with it. The sender is *not* proven to the recipient: whoever can fetch
the bundle can seal. Shipping clients use their own protocol; the server looks into neither.

Source: RFC 7748 (X25519), RFC 5869, RFC 8439 (ChaCha20-Poly1305), protocol contract, section 2.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from uuid import UUID, uuid4

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
)
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from construct_site.errors import ConstructError, ErrorCode
from keys.bundle import Bundle, PrekeyUpdate, encode_bundle, encode_update, parse_bundle
from messaging.client.hkdf import derive
from messaging.protocol.messages import ChatMessage, MessageIds, PublicKeyBundle

KEY_BYTES = 32
NONCE_BYTES = 12
USE = b"Construct demonstration sealing, version 1"


class UnreadableMessage(Exception):
    """Not sealed for these keys, or changed on its way."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A user's private keys. `prekeys` has the current signed prekey first, then the one before it."""

    identity: PrivateKey
    signing: SigningKey
    prekeys: tuple[PrivateKey, ...]

    @classmethod
    def generate(cls) -> Keys:
        return cls(PrivateKey.generate(), SigningKey.generate(), (PrivateKey.generate(),))

    def rotated(self) -> Keys:
        """The keys with a new signed prekey; messages sealed for the one before can still be opened."""
        return Keys(self.identity, self.signing, (PrivateKey.generate(), self.prekeys[0]))

    def bundle(self) -> str:
        """The ``publicKey`` of a registration."""
        return encode_bundle(
            Bundle(
                identity_public=bytes(self.identity.public_key),
                signed_prekey_public=self.prekey_public,
                signature=self._prekey_signature(),
                verifying_key=bytes(self.signing.verify_key),
            )
        )

    def update(self) -> str:
        """The ``update`` of a rotation to the current prekey."""
        return encode_update(
            PrekeyUpdate(new_prekey_public=self.prekey_public, signature=self._prekey_signature())
        )

    @property
    def prekey_public(self) -> bytes:
        return bytes(self.prekeys[0].public_key)

    def _prekey_signature(self) -> bytes:
        return self.signing.sign(self.prekey_public).signature


def verified(bundle: PublicKeyBundle) -> Bundle:
    """The keys of a fetched bundle.

    Raises :class:`construct_site.errors.ConstructError` if a key is malformed or weak or
    the prekey's signature does not verify.
    """
    try:
        claimed = Bundle(
            identity_public=base64.b64decode(bundle.identity_public),
            signed_prekey_public=base64.b64decode(bundle.signed_prekey_public),
            signature=base64.b64decode(bundle.signature),
            verifying_key=base64.b64decode(bundle.verifying_key),
        )
    except ValueError:
        raise ConstructError(ErrorCode.INVALID_KEY) from None
    return parse_bundle(encode_bundle(claimed))


def seal(
    text: str, *, sender: str, recipient: str, prekey_public: bytes, number: int, now: int
) -> ChatMessage:
    """A message of `text` under a new id.

    `sender` and `recipient` are user ids, `prekey_public` the recipient's verified signed
    prekey, `number` counts the sender's messages, `now` is in Unix seconds.
    """
    ephemeral = PrivateKey.generate()
    ephemeral_public = bytes(ephemeral.public_key)
    ids = MessageIds(message=uuid4(), sender=UUID(sender), recipient=UUID(recipient))
    key = _key(crypto_scalarmult(bytes(ephemeral), prekey_public), ephemeral_public, prekey_public)
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = crypto_aead_chacha20poly1305_ietf_encrypt(text.encode(), _associated_data(ids), nonce, key)
    return ChatMessage(
        id=str(ids.message),
        sender=sender,
        recipient=recipient,
        ephemeral_public_key=ephemeral_public,
        message_number=number,
        content=base64.b64encode(nonce + sealed).decode(),
        timestamp=now,
    )


def unseal(message: ChatMessage, keys: Keys) -> str:
    """The text of a message to the owner of `keys`. Raises :class:`UnreadableMessage`."""
    for prekey in keys.prekeys:
        try:
            return _unsealed(message, prekey)
        except (CryptoError, ValueError):
            continue
    raise UnreadableMessage("none of the prekeys opens this message")


def _unsealed(message: ChatMessage, prekey: PrivateKey) -> str:
    shared = crypto_scalarmult(bytes(prekey), message.ephemeral_public_key)
    key = _key(shared, message.ephemeral_public_key, bytes(prekey.public_key))
    sealed = base64.b64decode(message.content, validate=True)
    text = crypto_aead_chacha20poly1305_ietf_decrypt(
        sealed[NONCE_BYTES:], _associated_data(message.ids), sealed[:NONCE_BYTES], key
    )
    return text.decode()


def _key(shared: bytes, ephemeral_public: bytes, prekey_public: bytes) -> bytes:
    return derive(shared, salt=b"", info=USE + ephemeral_public + prekey_public, size=KEY_BYTES)


def _associated_data(ids: MessageIds) -> bytes:
    return ids.sender.bytes + ids.recipient.bytes + ids.message.bytes
