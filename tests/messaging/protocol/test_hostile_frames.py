"""Generated frames: valid, nearly valid and arbitrary. Only refusals of the error table ever come out."""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import Any
from unittest.mock import patch

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from construct_site.errors import ErrorCode
from messaging.protocol import codec
from messaging.protocol.codec import InvalidFrame, decode_reply, decode_request, encode, encode_request
from messaging.protocol.messages import (
    CLIENT_MESSAGES,
    SERVER_MESSAGES,
    ChatMessage,
    ClientMessage,
    Connect,
    GetPublicKey,
    Login,
    Logout,
    Received,
    Register,
    RotatePrekey,
    SearchUsers,
)
from tests.messaging.protocol.literals import CHAT_FIELDS, send_message

CODES = {ErrorCode.INVALID_FORMAT, ErrorCode.INVALID_MESSAGE_FORMAT, ErrorCode.MESSAGE_TOO_LARGE}

uuids = st.uuids().map(str) | st.uuids().map(lambda value: str(value).upper())
text = st.text(max_size=20)
CHAT_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "id": uuids,
    "sender": uuids,
    "recipient": uuids,
    "ephemeral_public_key": st.binary(min_size=32, max_size=32),
    "message_number": st.integers(0, 2**32 - 1),
    "content": st.binary(min_size=1, max_size=64).map(lambda value: base64.b64encode(value).decode()),
    "timestamp": st.integers(0, 2**64 - 1),
}
chat_messages = st.builds(ChatMessage, **CHAT_PARTS)
requests: st.SearchStrategy[ClientMessage] = st.one_of(
    chat_messages,
    st.builds(
        Register,
        username=text,
        password=text,
        public_key=text,
        display_name=st.none() | text,
        receipts=st.booleans(),
    ),
    st.builds(Login, username=text, password=text, receipts=st.booleans()),
    st.builds(Connect, session_token=text, receipts=st.booleans()),
    st.builds(SearchUsers, query=text),
    st.builds(GetPublicKey, user_id=text),
    st.builds(RotatePrekey, user_id=text, update=text),
    st.builds(Logout, session_token=text),
    st.builds(Received, message_ids=st.lists(text, max_size=5)),
)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | text | st.binary(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
few = settings(max_examples=150, deadline=None)


def _refused_by_the_table_if_at_all(frame: bytes) -> None:
    try:
        request = decode_request(frame)
    except InvalidFrame as error:
        refusal = error
    else:
        assert type(request.payload) is CLIENT_MESSAGES[request.type]
        return
    assert refusal.code in CODES
    assert refusal.request_id is None or len(refusal.request_id) <= 64


@few
@given(requests)
def test_a_valid_request_comes_back_as_it_was(message: ClientMessage) -> None:
    assert decode_request(encode_request(message)).payload == message


@few
@given(chat_messages)
def test_a_message_is_relayed_as_it_was(message: ChatMessage) -> None:
    sent = decode_request(encode_request(message)).payload
    assert isinstance(sent, ChatMessage)
    assert decode_reply(encode(sent)) == message


@few
@given(requests, st.data())
def test_a_request_with_one_other_value_is_read_or_refused(
    message: ClientMessage, data: st.DataObject
) -> None:
    envelope: dict[str, Any] = msgpack.unpackb(encode_request(message))
    target = data.draw(st.sampled_from([envelope, envelope["payload"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(values)
    _refused_by_the_table_if_at_all(msgpack.packb(envelope))


@few
@given(st.integers(0, len(send_message(*CHAT_FIELDS)) - 1), st.binary(max_size=3))
def test_a_message_with_other_bytes_in_it_is_read_or_refused(position: int, other: bytes) -> None:
    frame = send_message(*CHAT_FIELDS)
    _refused_by_the_table_if_at_all(frame[:position] + other + frame[position + len(other) :])
    _refused_by_the_table_if_at_all(frame[:position] + other)


def _result(frame: bytes) -> object:
    try:
        return decode_request(frame)
    except InvalidFrame as refusal:
        return refusal.code, refusal.text, refusal.request_id


def _is_read_the_same_with_care(frame: bytes) -> bool:
    """Messages in the server's own form are read a short way; no frame begins with a byte that never stands in one."""
    short = _result(frame)
    with patch.object(codec, "_SEND_PREFIX", b"\xc1"):
        return _result(frame) == short


@few
@given(chat_messages | st.builds(ChatMessage, **{**CHAT_PARTS, "id": text, "content": text}))
def test_the_short_way_reads_a_message_as_the_careful_one(message: ChatMessage) -> None:
    assert _is_read_the_same_with_care(encode_request(message))


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, len(send_message(*CHAT_FIELDS)) - 1), st.binary(min_size=1, max_size=3))
def test_the_short_way_reads_other_bytes_as_the_careful_one(position: int, other: bytes) -> None:
    frame = send_message(*CHAT_FIELDS)
    assert _is_read_the_same_with_care(frame[:position] + other + frame[position + len(other) :])
    assert _is_read_the_same_with_care(frame[:position] + other + frame[position:])
    assert _is_read_the_same_with_care(frame + other)


@few
@given(st.permutations(CHAT_FIELDS), st.sampled_from(CHAT_FIELDS))
def test_the_short_way_reads_other_fields_as_the_careful_one(fields: list[bytes], twice: bytes) -> None:
    assert _is_read_the_same_with_care(send_message(*fields))
    assert _is_read_the_same_with_care(send_message(*fields, twice))
    assert _is_read_the_same_with_care(send_message(*fields[1:]))


@few
@given(values)
def test_any_value_is_read_or_refused(value: object) -> None:
    _refused_by_the_table_if_at_all(msgpack.packb(value))
    _refused_by_the_table_if_at_all(msgpack.packb({"type": "received", "payload": value}))


@few
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    _refused_by_the_table_if_at_all(frame)
    _refused_by_the_table_if_at_all(b"\x82\xa4type\xabsendMessage\xa7payload" + frame)


@few
@given(st.binary(max_size=200))
def test_any_bytes_from_a_server_are_read_or_refused(frame: bytes) -> None:
    for prefix in (b"", b"\x82\xa4type\xa7message\xa7payload"):
        with contextlib.suppress(InvalidFrame):
            assert type(decode_reply(prefix + frame)) in SERVER_MESSAGES.values()


@few
@given(st.text("AB+/=-_\n", min_size=4, max_size=12))
def test_content_is_taken_exactly_when_it_is_strict_base64(content: str) -> None:
    message = ChatMessage(
        id="b1d54f2c-0a6e-4c1b-9d0e-7f3a5c2e8d41",
        sender="b1d54f2c-0a6e-4c1b-9d0e-7f3a5c2e8d41",
        recipient="b1d54f2c-0a6e-4c1b-9d0e-7f3a5c2e8d41",
        ephemeral_public_key=bytes(32),
        message_number=0,
        content=content,
        timestamp=0,
    )
    try:
        # The length: binascii's strict mode takes padding in excess on some Python versions.
        strict = len(content) % 4 == 0 and bool(binascii.a2b_base64(content, strict_mode=True))
    except binascii.Error:
        strict = False
    try:
        decode_request(encode_request(message))
        taken = True
    except InvalidFrame:
        taken = False
    assert taken is strict
