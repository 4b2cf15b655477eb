"""Storing, serving, rotating and replacing prekey bundles. Plain synchronous functions; nothing else writes them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from accounts.services import Credentials, end_other_sessions_of, require_live
from construct_site.errors import ConstructError, ErrorCode
from keys.bundle import Bundle, PrekeyUpdate, verify_update
from keys.models import PrekeyBundle, RetiredIdentity, RetiredPrekey, stale_before


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
    """SHA-256 of identity key ‖ verifying key, in hexadecimal: these stay through every rotation, until the whole
    bundle is replaced."""
    rotated_at: datetime
    age_s: int
    is_stale: bool


def prekey_status(user_id: UUID) -> PrekeyStatus:
    """Raises ``ConstructError(USER_NOT_FOUND)`` for one without a bundle."""
    bundle = PrekeyBundle.objects.filter(pk=user_id).first()
    if bundle is None:
        raise ConstructError(ErrorCode.USER_NOT_FOUND)
    return PrekeyStatus(
        fingerprint=bundle.fingerprint,
        rotated_at=bundle.rotated_at,
        age_s=int((timezone.now() - bundle.rotated_at).total_seconds()),
        is_stale=bundle.is_stale,
    )


def rotate_prekey(user_id: UUID, update: PrekeyUpdate, *, asked_by: UUID | None = None) -> None:
    """Put a new signed prekey in the place of the present one, which goes into the history.

    The present one again changes nothing and succeeds, so a rotation whose answer
    was lost can be repeated. Rotations at once happen one after another.

    Raises ``ConstructError``: INVALID_UPDATE for a signature that the stored
    verifying key did not make and for a prekey that was in use before;
    USER_NOT_FOUND; AUTH_REQUIRED if the session `asked_by` has ended.
    """
    with transaction.atomic():
        # SQLite has no row lock and needs none: its transactions take the write lock when they begin.
        # No key of the row changes: a batch of messages for this user, which locks the key, need not wait.
        bundle = PrekeyBundle.objects.select_for_update(no_key=True).filter(pk=user_id).first()
        if bundle is None:
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        if asked_by is not None:
            # A replacement of the bundle, which ends the other sessions, holds the row to its end.
            require_live(asked_by)
        verify_update(update, bytes(bundle.verifying_key))
        if update.new_prekey_public != bytes(bundle.signed_prekey_public):
            _rotate(bundle, update)


def count_stale(now: datetime) -> int:
    """How many prekeys should have been rotated by now. Reads all bundles: for a round of housekeeping."""
    return PrekeyBundle.objects.filter(rotated_at__lte=stale_before(now)).count()


def hold_bundle(user_id: UUID) -> None:
    """Within a transaction: until its end no message is stored for this user, and what waits then sees what was done.

    The mailbox locks the bundle's row for every message. On PostgreSQL, a batch of messages that began before that
    end has a snapshot without it; it finds that the row has a newer version, and asks again. Sessions, accounts in
    the order of their ids, bundle, messages: the order of all who lock more than one of these.
    """
    bundles = PrekeyBundle.objects.filter(pk=user_id)
    list(bundles.select_for_update().values_list("pk"))
    # To write what is there makes the version.
    bundles.update(rotated_at=F("rotated_at"))


@dataclass(frozen=True, slots=True)
class Replacement:
    """What became of a replaced bundle."""

    is_new: bool
    """The keys were others until now; False: they were the present ones already."""
    revoked: int
    """How many sessions were ended."""


def replace_bundle(credentials: Credentials, bundle: Bundle, *, kept: UUID | None) -> Replacement:
    """Put other keys in the place of the whole bundle of an account, and end its sessions, all but `kept`.

    The former keys go into the history. The present bundle again changes no key and succeeds, so a
    replacement whose answer was lost can be repeated. From here to the end of the transaction, the
    caller's if there is one, nothing is stored for this user: the mailbox locks the bundle's row for
    every message.

    Raises ``OutdatedCredentials``, and ``ConstructError``: AUTH_REQUIRED if `kept` has ended;
    INVALID_KEY_BUNDLE for a bundle with a key that is in use or was, since whoever has the lost device
    has its private half; USER_NOT_FOUND for an account without a bundle. Then nothing has changed.
    """
    with transaction.atomic():
        revoked = end_other_sessions_of(credentials, kept=kept)
        present = PrekeyBundle.objects.select_for_update().filter(pk=credentials.id).first()
        if present is None:
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        is_new = not _has_these_keys(present, bundle)
        if is_new:
            _put_in_place(present, bundle)
    return Replacement(is_new, revoked)


def _has_these_keys(present: PrekeyBundle, bundle: Bundle) -> bool:
    return (
        bytes(present.identity_public) == bundle.identity_public
        and bytes(present.verifying_key) == bundle.verifying_key
        and bytes(present.signed_prekey_public) == bundle.signed_prekey_public
    )


def _put_in_place(present: PrekeyBundle, bundle: Bundle) -> None:
    now = timezone.now()
    # What is in use becomes history first: then one look tells of both.
    _retire_prekey(present, now)
    RetiredIdentity.objects.create(
        bundle=present,
        identity_public=present.identity_public,
        verifying_key=present.verifying_key,
        used_from=present.created_at,
        retired_at=now,
    )
    is_former = Q(identity_public=bundle.identity_public) | Q(verifying_key=bundle.verifying_key)
    if present.retired_identities.filter(is_former).exists() or _was_used(
        present, bundle.signed_prekey_public
    ):
        raise ConstructError(
            ErrorCode.INVALID_KEY_BUNDLE, "A key of this bundle was in use before; make new ones."
        )
    present.identity_public = bundle.identity_public
    present.verifying_key = bundle.verifying_key
    present.signed_prekey_public = bundle.signed_prekey_public
    present.signature = bundle.signature
    present.created_at = present.rotated_at = now
    present.save(force_update=True)


def _rotate(bundle: PrekeyBundle, update: PrekeyUpdate) -> None:
    if _was_used(bundle, update.new_prekey_public):
        raise ConstructError(ErrorCode.INVALID_UPDATE, "This prekey was in use before; make a new one.")
    now = timezone.now()
    _retire_prekey(bundle, now)
    bundle.signed_prekey_public = update.new_prekey_public
    bundle.signature = update.signature
    bundle.rotated_at = now
    bundle.save(update_fields=["signed_prekey_public", "signature", "rotated_at"])


def _was_used(bundle: PrekeyBundle, prekey: bytes) -> bool:
    return bundle.retired_prekeys.filter(signed_prekey_public=prekey).exists()


def _retire_prekey(bundle: PrekeyBundle, now: datetime) -> None:
    RetiredPrekey.objects.create(
        bundle=bundle,
        signed_prekey_public=bundle.signed_prekey_public,
        used_from=bundle.rotated_at,
        retired_at=now,
    )


def _base64(data: bytes | memoryview) -> str:
    return base64.b64encode(data).decode()
