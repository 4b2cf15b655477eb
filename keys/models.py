"""Prekey bundles and the history of their rotations and replacements. Only :mod:`keys.services` writes here."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone


def stale_before(now: datetime) -> datetime:
    """A prekey that has been in use since then is stale."""
    return now - timedelta(seconds=settings.CONSTRUCT.prekey_stale_s)


class PrekeyBundle(models.Model):
    """The public keys under which a user is reached, exactly one set for each registered user."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="prekey_bundle"
    )
    identity_public = models.BinaryField(max_length=32)
    """X25519."""
    verifying_key = models.BinaryField(max_length=32)
    """Ed25519; vouches for every later prekey. It changes with the identity and never without it: when the whole
    bundle is replaced."""
    signed_prekey_public = models.BinaryField(max_length=32)
    """X25519."""
    signature = models.BinaryField(max_length=64)
    """Ed25519 of ``signed_prekey_public`` under ``verifying_key``."""
    created_at = models.DateTimeField(default=timezone.now)
    """Since when the identity and the verifying key are in use."""
    rotated_at = models.DateTimeField(default=timezone.now)
    """Since when the present prekey is in use."""

    class Meta:
        # The admin's list, the longest unrotated first: a page is found without the rows before it.
        indexes = [models.Index("rotated_at", "user", name="bundle_rotated")]

    def __str__(self) -> str:
        return f"bundle of {self.pk}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of identity key ‖ verifying key, in hexadecimal: what people compare."""
        return hashlib.sha256(bytes(self.identity_public) + bytes(self.verifying_key)).hexdigest()

    @property
    def is_stale(self) -> bool:
        """The prekey should have been rotated by now. It is served all the same (protocol section 6)."""
        return self.rotated_at <= stale_before(timezone.now())


class RetiredPrekey(models.Model):
    """A prekey that was in use before. It never comes back: a re-used prekey undoes the rotation."""

    bundle = models.ForeignKey(PrekeyBundle, models.CASCADE, related_name="retired_prekeys", db_index=False)
    signed_prekey_public = models.BinaryField(max_length=32)
    used_from = models.DateTimeField()
    retired_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bundle", "signed_prekey_public"], name="prekey_retired_once")
        ]

    def __str__(self) -> str:
        return f"prekey {self.pk} of {self.bundle_id}"


class RetiredIdentity(models.Model):
    """The identity and the verifying key of a bundle that was replaced. Neither comes back: others may hold them."""

    bundle = models.ForeignKey(
        PrekeyBundle, models.CASCADE, related_name="retired_identities", db_index=False
    )
    identity_public = models.BinaryField(max_length=32)
    verifying_key = models.BinaryField(max_length=32)
    used_from = models.DateTimeField()
    retired_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bundle", "identity_public"], name="identity_retired_once"),
            models.UniqueConstraint(fields=["bundle", "verifying_key"], name="verifying_key_retired_once"),
        ]

    def __str__(self) -> str:
        return f"identity {self.pk} of {self.bundle_id}"
