"""A payload map to the record of its message: types first, then the values of a ``sendMessage``.

Source: protocol contract, sections 2 and 4.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_args

import msgspec

from construct_site.errors import ErrorCode
from messaging.protocol.frame import InvalidFrame
from messaging.protocol.messages import (
    CONTENT_LENGTH_MAX,
    CONTENT_LENGTH_MIN,
    KEY_BYTES,
    MESSAGE_NUMBER_MAX,
    ChatMessage,
    ClientMessage,
    Payload,
)

T = TypeVar("T", bound=Payload)

_BASE64 = re.compile(r"[A-Za-z0-9+/]++={0,2}")
_KINDS: dict[Any, str] = {str: "text", str | None: "text", bytes: "binary", bool: "true or false"}


def read(payload: dict[str, Any], record: type[ClientMessage]) -> ClientMessage:
    """The record that `payload` fills. Changes `payload`. Raises :class:`InvalidFrame`.

    Nil stands for an absent key. Only INVALID_FORMAT comes of types; INVALID_MESSAGE_FORMAT
    and MESSAGE_TOO_LARGE come of the values of a well-typed ``sendMessage``.
    """
    if record is ChatMessage:
        return _chat_message(payload)
    return _convert({key: value for key, value in payload.items() if value is not None}, record)


def _convert(payload: dict[str, Any], record: type[T]) -> T:
    try:
        return msgspec.convert(payload, record, builtin_types=(bytes,))
    except msgspec.ValidationError:
        raise InvalidFrame(_field_fault(payload, record)) from None


def _field_fault(payload: dict[str, Any], record: type[Payload]) -> str:
    """Which field is at fault, in plain words: msgspec's name Python types."""
    for field in msgspec.structs.fields(record):
        name = field.encode_name
        if payload.get(name) is None:
            if field.required:
                return f"'{name}' is missing."
            continue
        try:
            msgspec.convert(payload[name], field.type, builtin_types=(bytes,))
        except msgspec.ValidationError:
            return f"'{name}' must be {_kind(field.type)}."
    return "'payload' could not be read."


def _kind(annotation: Any) -> str:
    """What a field takes, in plain words: by its type, or as the field's own constraint words it."""
    return _KINDS.get(annotation) or next(
        part.description
        for part in get_args(annotation)
        if isinstance(part, msgspec.Meta) and part.description
    )


def _chat_message(payload: dict[str, Any]) -> ChatMessage:
    for name in ("messageNumber", "timestamp"):
        if type(payload.get(name)) is float:
            payload[name] = _integer(payload[name])
    if type(payload.get("ephemeralPublicKey")) is list:
        payload["ephemeralPublicKey"] = _key(payload["ephemeralPublicKey"])
    message = _convert(payload, ChatMessage)
    check_values(message)
    return message


def _integer(number: Any) -> Any:
    """JavaScript writes whole numbers as floats; whatever is no 64-bit whole number stays what it is."""
    if type(number) is float and number.is_integer() and -(2**63) <= number < 2**64:
        return int(number)
    return number


def _key(numbers: list[Any]) -> bytes:
    """The bytes that a list of numbers spells; none at all if one is out of range: no key has that length."""
    values = [_integer(number) for number in numbers]
    if any(type(value) is not int for value in values):
        raise InvalidFrame("'ephemeralPublicKey' must be binary, or an array of whole numbers.")
    return bytes(values) if all(0 <= value <= 255 for value in values) else b""


def check_values(message: ChatMessage) -> None:
    """Raise :class:`InvalidFrame` for a wrong value in a well-typed message."""
    try:
        _ = message.ids
    except ValueError:
        raise _invalid("'id', 'from' and 'to' must be UUIDs of 36 characters.") from None
    if len(message.ephemeral_public_key) != KEY_BYTES:
        raise _invalid(f"'ephemeralPublicKey' must be {KEY_BYTES} bytes.")
    if message.message_number > MESSAGE_NUMBER_MAX:
        raise _invalid(f"'messageNumber' must be at most {MESSAGE_NUMBER_MAX}.")
    length = len(message.content)
    if length > CONTENT_LENGTH_MAX:
        raise InvalidFrame(
            f"'content' must be at most {CONTENT_LENGTH_MAX} characters.", code=ErrorCode.MESSAGE_TOO_LARGE
        )
    # The length rules out what the pattern lets through: with it, padding is never short or in excess.
    if length < CONTENT_LENGTH_MIN or length % 4 or not _BASE64.fullmatch(message.content):
        raise _invalid("'content' must be padded standard base64.")


def _invalid(text: str) -> InvalidFrame:
    return InvalidFrame(text, code=ErrorCode.INVALID_MESSAGE_FORMAT)
