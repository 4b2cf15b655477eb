"""What the endpoints of keys take and give. Keys and signatures are standard padded base64."""

from __future__ import annotations

from rest_framework import serializers

from construct_site.rest.payloads import Flag, Payload, Text, UnixSeconds


class RegistrationRequest(Payload):
    username = Text()
    password = Text()
    display_name = Text(required=False, allow_null=True, default=None, help_text="Left out: the username.")
    public_key = Text(help_text="The prekey bundle, as in the socket's `register`.")
    invite_code = Text(
        required=False, allow_null=True, default=None, help_text="Where the server asks for one."
    )
    work = Text(
        required=False,
        allow_null=True,
        default=None,
        help_text="`challenge:nonce`, where the server tells a challenge (`registrationWork`).",
    )


class BundleAnswer(Payload):
    user_id = serializers.UUIDField()
    username = Text()
    identity_public = Text()
    signed_prekey_public = Text()
    signature = Text()
    verifying_key = Text()


class PrekeyAnswer(Payload):
    """The own signed prekey."""

    fingerprint = Text(help_text="SHA-256 of the identity key and the verifying key, in hexadecimal.")
    rotated = UnixSeconds(source="rotated_at", help_text="Unix seconds: since when the prekey is in use.")
    age_s = serializers.IntegerField(help_text="Seconds since then.")
    is_stale = Flag(help_text="It should be rotated.")


class RotationRequest(Payload):
    # Named so because the base class has an `update` of its own.
    update_ = Text(help_text="As in the socket's `rotatePrekey`.")
