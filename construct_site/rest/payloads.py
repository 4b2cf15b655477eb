"""The fields of requests and answers: camelCase like the wire, of exactly the type that is due."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from rest_framework import serializers

UNKNOWN_TOLD = 20
"""Unknown fields of a body that an answer names: a body of names would make one several times its size."""


class Payload(serializers.Serializer[Any]):
    """Fields are named in Python as usual and on the wire in camelCase. Unknown ones are refused."""

    default_error_messages = {"unknown": "There is no such field."}

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = {}
        for name, field in super().get_fields().items():
            wire_name = camelcase(name)
            if wire_name != name and field.source is None:
                field.source = name
            fields[wire_name] = field
        return fields

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := data.keys() - self.fields.keys()):
            raise serializers.ValidationError(
                {name: [self.error_messages["unknown"]] for name in sorted(unknown)[:UNKNOWN_TOLD]}
            )
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A string as it was written: no number is turned into one, no white space goes. What it must be, services say."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "allow_blank": True, **options})
        # The library would judge characters by itself; what a name or a password may have, services know.
        self.validators = []

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """``true`` or ``false``: no word or number that means it."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class UnixSeconds(serializers.IntegerField):
    """A moment as whole seconds since 1970 in UTC, as on the wire. Only in answers."""

    def to_representation(self, value: datetime) -> int:  # type: ignore[override] # a field of answers alone
        return int(value.timestamp())


class Base64(Text):
    """Bytes in padded standard base64. Only in answers."""

    def to_representation(self, value: bytes | memoryview) -> str:  # type: ignore[override] # as above
        return base64.b64encode(value).decode()


class ChallengeAnswer(Payload):
    """To solve for a registration: SHA-256 of `challenge:nonce` is to begin with so many zero bits."""

    challenge = Text()
    bits = serializers.IntegerField()
    expires = serializers.IntegerField(help_text="Unix seconds.")


class ErrorAnswer(Payload):
    """Every refusal. `fields` stands beside VALIDATION_FAILED, `work` beside WORK_REQUIRED and INVALID_WORK."""

    code = Text()
    message = Text()
    request_id = Text(required=False, help_text="The X-Request-ID of the request.")
    # Named so because the base class has a `fields` of its own.
    fields_ = serializers.DictField(child=serializers.ListField(child=Text()), required=False)
    work = ChallengeAnswer(required=False)


def camelcase(name: str) -> str:
    """``display_name`` → ``displayName``."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
