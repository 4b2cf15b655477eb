"""What the endpoints of accounts take and give."""

from __future__ import annotations

from rest_framework import serializers

from construct_site.rest.payloads import Flag, Payload, Text, UnixSeconds


class LoginRequest(Payload):
    username = Text()
    password = Text()


class GrantAnswer(Payload):
    """An open session. The token is shown this once; the server keeps its hash alone."""

    user_id = serializers.UUIDField()
    username = Text()
    display_name = Text()
    session_token = Text(source="token")
    expires = UnixSeconds(source="expires_at", help_text="Unix seconds.")


class SessionAnswer(Payload):
    id = serializers.UUIDField()
    # Named so because the base class has a `label` of its own.
    label_ = Text(source="client_label", help_text="What the client calls itself. Not to be believed.")
    address = Text(allow_null=True, help_text="Where it was used from last; null where that is not kept.")
    created = UnixSeconds(source="created_at", help_text="Unix seconds.")
    last_used = UnixSeconds(source="last_used_at", help_text="Unix seconds, to the hour.")
    expires = UnixSeconds(source="expires_at", help_text="Unix seconds.")
    is_current = Flag(help_text="The session of this request.")


class SessionsAnswer(Payload):
    sessions = SessionAnswer(many=True)


class RevokedAnswer(Payload):
    revoked = serializers.IntegerField(help_text="How many sessions were ended.")


class PasswordRequest(Payload):
    current_password = Text()
    new_password = Text()


class ResetRequest(Payload):
    code = Text(help_text="As the server's operators gave it out.")
    new_password = Text()


class DeletionRequest(Payload):
    password = Text()


class ProfileAnswer(Payload):
    user_id = serializers.UUIDField()
    username = Text()
    display_name = Text()
    bio = Text()
    avatar_url = Text()
    discoverable = Flag(help_text="Other people's searches find this account.")
    created = UnixSeconds(source="created_at", help_text="Unix seconds.")


class ProfileRequest(Payload):
    """What is left out stays."""

    display_name = Text(required=False)
    bio = Text(required=False)
    avatar_url = Text(required=False, help_text="An https address; empty: none.")
    discoverable = Flag(required=False)


class FoundUserAnswer(Payload):
    id = serializers.UUIDField()
    username = Text()
    display_name = Text()
    avatar_url = Text(allow_null=True)
    bio = Text(allow_null=True)


class SearchRequest(Payload):
    query = Text(help_text="Under 2 characters find nothing, 2 a prefix, 3 and more any part of a name.")


class SearchAnswer(Payload):
    users = FoundUserAnswer(many=True, help_text="At most 20.")
