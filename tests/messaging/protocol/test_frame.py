from __future__ import annotations

import pytest

from construct_site.errors import ErrorCode
from messaging.protocol.frame import ENTRIES_MAX, InvalidFrame, unpack

LIMIT = 128 * 1024

REFUSED = {
    "nothing": (b"", "empty"),
    "JSON": (b'{"type":"login","payload":{}}', "not JSON"),
    "JSON after a line break": (b'\n {"type":1}', "not JSON"),
    "a JSON array": (b"[1]", "not JSON"),
    "a number": (b"\x01", "must be a map."),
    "nil": (b"\xc0", "must be a map."),
    "text": (b"\xa5login", "must be a map."),
    "a positional array": (b"\x92\xa5login\x80", "a map, not an array"),
    "a truncated map": (b"\x82\xa1a\x01\xa1b", "not valid MessagePack"),
    "the unused byte c1": (b"\x81\xa1a\xc1", "not valid MessagePack"),
    "trailing bytes": (b"\x81\xa1a\x01\x00", "follow the end"),
    "a second map": (b"\x80\x80", "follow the end"),
    "a key twice": (b"\x82\xa1a\x01\xa1a\x01", "same key twice"),
    "a key twice in two encodings": (b"\x82\xa1a\x01\xd9\x01a\x01", "same key twice"),
    "a key twice in an inner map": (b"\x81\xa1a\x82\xa1b\x01\xa1b\x02", "same key twice"),
    "a binary key": (b"\x81\xc4\x01a\x01", "must be text"),
    "a binary key in an inner map": (b"\x81\xa1a\x81\xc4\x01b\x01", "must be text"),
    "a numeric key": (b"\x81\x01\x01", "must be text"),
    "an array as key": (b"\x81\x90\x01", "must be text"),
    "invalid UTF-8": (b"\x81\xa1a\xa2\xc3\x28", "UTF-8"),
    "invalid UTF-8 in a key": (b"\x81\xa1\xff\x01", "UTF-8"),
    "overlong UTF-8": (b"\x81\xa1a\xa2\xc0\x80", "UTF-8"),
    "a surrogate in UTF-8": (b"\x81\xa1a\xa3\xed\xa0\x80", "UTF-8"),
    "a timestamp of 4 bytes": (b"\x81\xa1a\xd6\xff\x00\x00\x00\x01", "Extension"),
    "a timestamp of 8 bytes": (b"\x81\xa1a\xd7\xff\x00\x00\x00\x00\x00\x00\x00\x01", "Extension"),
    "a timestamp of 12 bytes": (b"\x81\xa1a\xc7\x0c\xff" + bytes(12), "Extension"),
    "an extension": (b"\x81\xa1a\xd4\x05\x00", "Extension"),
    "an empty extension": (b"\x81\xa1a\xc7\x00\x05", "Extension"),
    "an extension in an inner array": (b"\x81\xa1a\x91\xd4\x05\x00", "Extension"),
    "four arrays and maps within each other": (b"\x81\xa1a\x81\xa1b\x91\x90", "nested too deeply"),
    "four maps within each other": (b"\x81\xa1a\x81\xa1b\x81\xa1c\x80", "nested too deeply"),
    "arrays without end": (b"\x81\xa1a" + b"\x91" * 100_000, "not valid MessagePack"),
    "arrays to the parser's limit": (b"\x81\xa1a" + b"\x91" * 900 + b"\x90", "too many arrays and maps"),
    "too many maps": (b"\x81\xa1a\xdc\x00\x1f" + b"\x80" * 31, "too many arrays and maps"),
    "too many arrays": (b"\x81\xa1a\xdc\x00\x1f" + b"\x90" * 31, "too many arrays and maps"),
    "an array that claims four billion entries": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "too long"),
    "a map that claims four billion entries": (b"\xdf\xff\xff\xff\xff", "too long"),
    "a text that claims four billion bytes": (b"\x81\xa1a\xdb\xff\xff\xff\xff", "not valid MessagePack"),
    "a binary that claims four billion bytes": (b"\x81\xa1a\xc6\xff\xff\xff\xff", "not valid MessagePack"),
    "too many entries": (
        b"\x81\xa1a\xdc" + (ENTRIES_MAX + 1).to_bytes(2) + bytes(ENTRIES_MAX + 1),
        "too long",
    ),
}


@pytest.mark.parametrize(("frame", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_contract_refuses_is_refused_in_plain_words(frame: bytes, text: str) -> None:
    with pytest.raises(InvalidFrame) as refusal:
        unpack(frame, LIMIT)
    assert refusal.value.code is ErrorCode.INVALID_FORMAT
    assert text in refusal.value.text


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        (b"\x80", {}),
        (b"\x81\xa1a\xdc\x00\x1e" + b"\x80" * 30, {"a": [{}] * 30}),
        (b"\x81\xa1a\x81\xa1b\x92\x01\x02", {"a": {"b": [1, 2]}}),
        (b"\x81\xa1a\x81\xa1b\x81\xa1c\xc0", {"a": {"b": {"c": None}}}),
        (b"\x81\xa1a\x91\x91\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", {"a": [[1.5]]}),
        (b"\x81\xa1a\xa3x\x00y", {"a": "x\0y"}),
        (b"\x81\xa0\xc4\x01\xff", {"": b"\xff"}),
        (b"\xde\x00\x01\xda\x00\x01a\xd3\x00\x00\x00\x00\x00\x00\x00\x05", {"a": 5}),
    ],
)
def test_three_containers_within_each_other_are_read(frame: bytes, value: object) -> None:
    assert unpack(frame, LIMIT) == value


def test_a_frame_may_have_its_most_bytes_and_not_one_more() -> None:
    frame = b"\x81\xa1a\xc5\x00\x10" + bytes(16)
    assert unpack(frame, len(frame)) == {"a": bytes(16)}
    with pytest.raises(InvalidFrame) as refusal:
        unpack(frame, len(frame) - 1)
    assert refusal.value.code is ErrorCode.MESSAGE_TOO_LARGE
