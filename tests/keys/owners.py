"""People with real keys."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from accounts.models import User
from accounts.services import find_credentials
from keys.bundle import Bundle, PrekeyUpdate
from keys.services import Replacement, replace_bundle, store_first_bundle


class KeyOwner:
    """Holds the private halves, and publishes bundles and updates."""

    def __init__(self) -> None:
        self.signing = SigningKey.generate()
        self.identity = PrivateKey.generate()
        self.prekey = PrivateKey.generate()

    def bundle(self, **changes: bytes) -> Bundle:
        """The bundle of the owner's keys; `changes` spoil it."""
        prekey = bytes(self.prekey.public_key)
        bundle = Bundle(
            identity_public=bytes(self.identity.public_key),
            signed_prekey_public=prekey,
            signature=self.signing.sign(prekey).signature,
            verifying_key=bytes(self.signing.verify_key),
        )
        return replace(bundle, **changes)

    def update(self) -> PrekeyUpdate:
        """An update to a fresh prekey."""
        return self.signed(bytes(PrivateKey.generate().public_key))

    def signed(self, prekey: bytes) -> PrekeyUpdate:
        return PrekeyUpdate(prekey, self.signing.sign(prekey).signature)


def registered(owner: KeyOwner, username: str = "alice") -> User:
    """An account with the owner's bundle."""
    user = User.objects.create(username=username, display_name=username, password="argon2$hash")
    store_first_bundle(user, owner.bundle())
    return user


def replaced(user: User, bundle: Bundle | None = None, *, kept: UUID | None = None) -> Replacement:
    """Put `bundle`, by default fresh keys, in the place of the user's, with the password that the account has now."""
    credentials = find_credentials(user.username)
    assert credentials
    return replace_bundle(credentials, bundle or KeyOwner().bundle(), kept=kept)
