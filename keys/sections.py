"""What the export of a user's data tells of keys. All of it is public."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Prefetch

from construct_site.export import Section, Table
from construct_site.rest.payloads import Base64, Payload, Text, UnixSeconds
from keys.models import PrekeyBundle, RetiredIdentity, RetiredPrekey


class RetiredPrekeyExport(Payload):
    """A prekey that was in use before."""

    signed_prekey_public = Base64()
    used_from = UnixSeconds(help_text="Unix seconds.")
    retired = UnixSeconds(source="retired_at", help_text="Unix seconds.")


class RetiredIdentityExport(Payload):
    """Keys that a replacement of the whole bundle retired."""

    identity_public = Base64()
    verifying_key = Base64()
    used_from = UnixSeconds(help_text="Unix seconds.")
    retired = UnixSeconds(source="retired_at", help_text="Unix seconds.")


class KeysExport(Payload):
    """The bundle under which the account is reached; null: it has none. Keys are in base64."""

    fingerprint = Text(help_text="SHA-256 of the identity key and the verifying key, in hexadecimal.")
    identity_public = Base64()
    verifying_key = Base64()
    signed_prekey_public = Base64()
    signature = Base64()
    created = UnixSeconds(source="created_at", help_text="Unix seconds.")
    rotated = UnixSeconds(source="rotated_at", help_text="Unix seconds: since when the prekey is in use.")
    retired_prekeys = RetiredPrekeyExport(many=True, help_text="Oldest first.")
    retired_identities = RetiredIdentityExport(many=True, help_text="Oldest first.")


def _read_keys(user_id: UUID) -> PrekeyBundle | None:
    prekeys = Prefetch("retired_prekeys", RetiredPrekey.objects.order_by("retired_at", "pk"))
    identities = Prefetch("retired_identities", RetiredIdentity.objects.order_by("retired_at", "pk"))
    return PrekeyBundle.objects.prefetch_related(prekeys, identities).filter(pk=user_id).first()


KEYS = Section(
    "keys",
    KeysExport,
    _read_keys,
    (
        Table(PrekeyBundle, KeysExport, owner="user"),
        Table(RetiredPrekey, RetiredPrekeyExport, owner="bundle"),
        Table(RetiredIdentity, RetiredIdentityExport, owner="bundle"),
    ),
    is_optional=True,
)
