"""Storing, serving and rotating prekey bundles. Plain synchronous functions; nothing else writes them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from construct_site.errors import ConstructError, ErrorCode
from keys.bundle import Bundle, PrekeyUpdate, verify_update
from keys.models import PrekeyBundle, RetiredPrekey


@dataclass(frozen=True, slots=True)
class ServedBundle:
    """A user's bundle as others get it: keys and signature in padded standard base64."""

    user_id: UUID
    username: str
    identity_public: str
    signed_prekey_public: str
    signature: str
    verifying_key: str
    is_stale: bool


def store_first_bundle(user: User, bundle: Bundle) -> PrekeyBundle:
    """Store the bundle of a new user, within the caller's transaction."""
    now = timezone.now()
    return PrekeyBundle.objects.create(
        user=user,
        identity_public=bundle.identity_public,
        verifying_key=bundle.verifying_key,
        signed_prekey_public=bundle.signed_prekey_public,
        signature=bundle.signature,
        created_at=now,
        rotated_at=now,
    )


def fetch_bundle(user_id: UUID, *, asked_by: UUID | None = None) -> ServedBundle:
    """The bundle under which to write to a user, stale or not, also to one who may not log in at present.

    Raises ``ConstructError(USER_NOT_FOUND)`` for no such user, one without a bundle, and
    one who waits for approval, unless they ask themselves: all after the same work.
    """
    bundles = PrekeyBundle.objects.select_related("user").filter(pk=user_id)
    if asked_by != user_id:
        bundles = bundles.filter(user__is_approved=True)
    if (bundle := bundles.first()) is None:
        raise ConstructError(ErrorCode.USER_NOT_FOUND)
    return ServedBundle(
        user_id=user_id,
        username=bundle.user.username,
        identity_public=_base64(bundle.identity_public),
        signed_prekey_public=_base64(bundle.signed_prekey_public),
        signature=_base64(bundle.signature),
        verifying_key=_base64(bundle.verifying_key),
        is_stale=bundle.is_stale,
    )


@dataclass(frozen=True, slots=True)
class PrekeyStatus:
    """What an owner wants to know of the own keys."""

    fingerprint: str
    """SHA-256 of identity key ‖ verifying key, in hexadecimal: the keys that stay through every rotation."""
    rotated_at: datetime
    age_s: int
    is_stale: bool


def prekey_status(user_id: UUID) -> PrekeyStatus:
    """Raises ``ConstructError(USER_NOT_FOUND)`` for one without a bundle."""
    bundle = PrekeyBundle.objects.filter(pk=user_id).first()
    if bundle is None:
        raise ConstructError(ErrorCode.USER_NOT_FOUND)
    keys = bytes(bundle.identity_public) + bytes(bundle.verifying_key)
    return PrekeyStatus(
        fingerprint=hashlib.sha256(keys).hexdigest(),
        rotated_at=bundle.rotated_at,
        age_s=int((timezone.now() - bundle.rotated_at).total_seconds()),
        is_stale=bundle.is_stale,
    )


def rotate_prekey(user_id: UUID, update: PrekeyUpdate) -> None:
    """Put a new signed prekey in the place of the present one, which goes into the history.

    The present one again changes nothing and succeeds, so a rotation whose answer
    was lost can be repeated. Rotations at once happen one after another.

    Raises ``ConstructError``: INVALID_UPDATE for a signature that the stored
    verifying key did not make and for a prekey that was in use before;
    USER_NOT_FOUND.
    """
    with transaction.atomic():
        # SQLite has no row lock and needs none: its transactions take the write lock when they begin.
        # No key of the row changes: a batch of messages for this user, which locks the key, need not wait.
        bundle = PrekeyBundle.objects.select_for_update(no_key=True).filter(pk=user_id).first()
        if bundle is None:
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        verify_update(update, bytes(bundle.verifying_key))
        if update.new_prekey_public != bytes(bundle.signed_prekey_public):
            _replace(bundle, update)


def _replace(bundle: PrekeyBundle, update: PrekeyUpdate) -> None:
    if bundle.retired_prekeys.filter(signed_prekey_public=update.new_prekey_public).exists():
        raise ConstructError(ErrorCode.INVALID_UPDATE, "This prekey was in use before; make a new one.")
    now = timezone.now()
    RetiredPrekey.objects.create(
        bundle=bundle,
        signed_prekey_public=bundle.signed_prekey_public,
        used_from=bundle.rotated_at,
        retired_at=now,
    )
    bundle.signed_prekey_public = update.new_prekey_public
    bundle.signature = update.signature
    bundle.rotated_at = now
    bundle.save(update_fields=["signed_prekey_public", "signature", "rotated_at"])


def _base64(data: bytes | memoryview) -> str:
    return base64.b64encode(data).decode()
