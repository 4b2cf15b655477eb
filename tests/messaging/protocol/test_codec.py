from __future__ import annotations

import itertools

import pytest

from construct_site.errors import ErrorCode
from messaging.protocol.codec import InvalidFrame, decode_reply, decode_request
from messaging.protocol.messages import Ack, ChatMessage, Connect, Login, Register
from tests.messaging.protocol.literals import (
    CHAT_FIELDS,
    CHAT_MESSAGE,
    CLIENT_FRAMES,
    CONTENT_FIELD,
    FROM_FIELD,
    ID,
    ID_FIELD,
    KEY,
    KEY_FIELD,
    NUMBER_FIELD,
    TIMESTAMP_FIELD,
    TO_FIELD,
    send_message,
    send_message_with,
)

KEY_NAME = b"\xb2ephemeralPublicKey"
FLOAT_300 = b"\xadmessageNumber\xcb\x40\x72\xc0\x00\x00\x00\x00\x00"
LOGIN = b"\xa8username\xa5alice\xa8password\xa8password"


def _refusal(frame: bytes) -> InvalidFrame:
    with pytest.raises(InvalidFrame) as refusal:
        decode_request(frame)
    return refusal.value


class TestTaken:
    @pytest.mark.parametrize("fields", list(itertools.permutations(CHAT_FIELDS))[::97])
    def test_fields_in_any_order(self, fields: tuple[bytes, ...]) -> None:
        assert decode_request(send_message(*fields)).payload == CHAT_MESSAGE

    def test_the_payload_before_the_type(self) -> None:
        frame = b"\x82\xa7payload\x82" + LOGIN + b"\xa4type\xa5login"
        assert decode_request(frame).payload == Login(username="alice", password="password")

    def test_unknown_keys_at_both_levels(self) -> None:
        frame = (
            b"\x83\xa4type\xa5login\xa7payload\x83\xa6client\x82\xa1a\xff\xa1b\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"
            + LOGIN
            + b"\xa5extra\x91\x91\xc0"
        )
        assert decode_request(frame).payload == Login(username="alice", password="password")

    def test_keys_named_like_attributes_are_unknown_keys(self) -> None:
        extra = b"\xb4ephemeral_public_key\xc4\x01\x00"
        assert decode_request(send_message(*CHAT_FIELDS, extra)).payload == CHAT_MESSAGE

    @pytest.mark.parametrize(
        ("field", "instead_of"),
        [
            (FLOAT_300, NUMBER_FIELD),
            (b"\xadmessageNumber\xca\x43\x96\x00\x00", NUMBER_FIELD),
            (b"\xadmessageNumber\xd1\x01\x2c", NUMBER_FIELD),
            (b"\xa9timestamp\xcb\x41\xd9\x54\xfc\x40\x00\x00\x00", TIMESTAMP_FIELD),
        ],
        ids=["float64", "float32", "signed", "float64 seconds"],
    )
    def test_a_whole_number_in_any_encoding(self, field: bytes, instead_of: bytes) -> None:
        message = decode_request(send_message_with(field, instead_of=instead_of)).payload
        assert message == CHAT_MESSAGE
        assert isinstance(message, ChatMessage)
        assert type(message.message_number) is int
        assert type(message.timestamp) is int

    @pytest.mark.parametrize(
        "array",
        [b"\xdc\x00\x20" + KEY, b"\xdc\x00\x20" + KEY[:-1] + b"\xca\x41\xf8\x00\x00"],
        ids=["integers", "integers and a whole float"],
    )
    def test_a_key_as_an_array(self, array: bytes) -> None:
        assert (
            decode_request(send_message_with(KEY_NAME + array, instead_of=KEY_FIELD)).payload == CHAT_MESSAGE
        )

    def test_the_largest_numbers(self) -> None:
        frame = send_message(
            *CHAT_FIELDS[:4],
            b"\xadmessageNumber\xce\xff\xff\xff\xff",
            CONTENT_FIELD,
            b"\xa9timestamp\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        )
        message = decode_request(frame).payload
        assert isinstance(message, ChatMessage)
        assert message.message_number == 2**32 - 1
        assert message.timestamp == 2**64 - 1

    def test_the_largest_content(self) -> None:
        content = b"\xa7content\xdb\x00\x01\x80\x00" + b"A" * 98_304
        message = decode_request(send_message_with(content, instead_of=CONTENT_FIELD)).payload
        assert isinstance(message, ChatMessage)
        assert len(message.content) == 98_304

    @pytest.mark.parametrize("content", ["AAAA", "A+/9", "AA==", "AAA=", "AAAAAA=="])
    def test_padded_standard_base64(self, content: str) -> None:
        field = b"\xa7content" + bytes([0xA0 | len(content)]) + content.encode()
        message = decode_request(send_message_with(field, instead_of=CONTENT_FIELD)).payload
        assert isinstance(message, ChatMessage)
        assert message.content == content

    def test_nil_for_an_optional_field(self) -> None:
        frame = (
            b"\x82\xa4type\xa8register\xa7payload\x85"
            + LOGIN
            + b"\xa9publicKey\xa1x\xabdisplayName\xc0\xa8receipts\xc0"
        )
        assert decode_request(frame).payload == Register(
            username="alice", password="password", public_key="x"
        )

    def test_text_with_nul(self) -> None:
        frame = b"\x82\xa4type\xa7connect\xa7payload\x81\xacsessionToken\xa3a\x00b"
        assert decode_request(frame).payload == Connect(session_token="a\0b")

    def test_receipts_for_256_messages(self) -> None:
        frame = b"\x82\xa4type\xa8received\xa7payload\x81\xaamessageIds\xdc\x01\x00" + b"\xa1x" * 256
        assert decode_request(frame).payload


ENVELOPES = {
    "no type": (b"\x81\xa7payload\x80", "'type' is missing."),
    "a nil type": (b"\x82\xa4type\xc0\xa7payload\x80", "'type' is missing."),
    "a number as type": (b"\x82\xa4type\x01\xa7payload\x80", "'type' must be text."),
    "a binary type": (b"\x82\xa4type\xc4\x05login\xa7payload\x80", "'type' must be text."),
    "an array as type": (b"\x82\xa4type\x90\xa7payload\x80", "'type' must be text."),
    "an unknown type": (
        b"\x82\xa4type\xa6secret\xa7payload\x80",
        "'type' names no message that clients send.",
    ),
    "a server's type": (b"\x82\xa4type\xa3ack\xa7payload\x80", "'type' names no message that clients send."),
    "another case": (b"\x82\xa4type\xa5Login\xa7payload\x80", "'type' names no message that clients send."),
    "no payload": (b"\x81\xa4type\xa6logout", "'payload' is missing."),
    "a nil payload": (b"\x82\xa4type\xa6logout\xa7payload\xc0", "'payload' is missing."),
    "a positional payload": (
        b"\x82\xa4type\xa5login\xa7payload\x92\xa1a\xa1b",
        "'payload' must be a map, not an array.",
    ),
    "text as payload": (b"\x82\xa4type\xa5login\xa7payload\xa1a", "'payload' must be a map."),
    "an empty map": (b"\x80", "'type' is missing."),
}

FIELDS = {
    "a missing field": (b"\xa5login\xa7payload\x81\xa8username\xa1a", "'password' is missing."),
    "a nil field": (b"\xa5login\xa7payload\x82\xa8username\xc0\xa8password\xa1a", "'username' is missing."),
    "a number for text": (
        b"\xa5login\xa7payload\x82\xa8username\xa1a\xa8password\x01",
        "'password' must be text.",
    ),
    "binary for text": (
        b"\xa5login\xa7payload\x82\xa8username\xa1a\xa8password\xc4\x01a",
        "'password' must be text.",
    ),
    "another case": (b"\xa5login\xa7payload\x82\xa8Username\xa1a\xa8password\xa1a", "'username' is missing."),
    "a number for a truth value": (
        b"\xa7connect\xa7payload\x82\xacsessionToken\xa1a\xa8receipts\x01",
        "'receipts' must be true or false.",
    ),
    "a display name of another type": (
        b"\xa8register\xa7payload\x84" + LOGIN + b"\xa9publicKey\xa1x\xabdisplayName\x01",
        "'displayName' must be text.",
    ),
    "a long query": (
        b"\xabsearchUsers\xa7payload\x81\xa5query\xd9\x41" + b"q" * 65,
        "'query' must be text of at most 64 characters.",
    ),
    "257 receipts": (
        b"\xa8received\xa7payload\x81\xaamessageIds\xdc\x01\x01" + b"\xa1x" * 257,
        "'messageIds' must be an array of at most 256 texts.",
    ),
    "a receipt that is no text": (
        b"\xa8received\xa7payload\x81\xaamessageIds\x91\x01",
        "'messageIds' must be an array of at most 256 texts.",
    ),
}

NUMBER = b"\xadmessageNumber"
NOT_A_NUMBER = "must be a whole number, not negative."
KEY_KIND = "'ephemeralPublicKey' must be binary, or an array of whole numbers."

MESSAGE_TYPES = {
    "no number": (b"", NUMBER_FIELD, "'messageNumber' is missing."),
    "a nil number": (NUMBER + b"\xc0", NUMBER_FIELD, "'messageNumber' is missing."),
    "a negative number": (NUMBER + b"\xff", NUMBER_FIELD, NOT_A_NUMBER),
    "a negative whole float": (NUMBER + b"\xca\xbf\x80\x00\x00", NUMBER_FIELD, NOT_A_NUMBER),
    "a fraction": (NUMBER + b"\xca\x3f\xc0\x00\x00", NUMBER_FIELD, NOT_A_NUMBER),
    "not a number": (NUMBER + b"\xca\x7f\xc0\x00\x00", NUMBER_FIELD, NOT_A_NUMBER),
    "infinity": (NUMBER + b"\xca\x7f\x80\x00\x00", NUMBER_FIELD, NOT_A_NUMBER),
    "2 to the 64th": (b"\xa9timestamp\xca\x5f\x80\x00\x00", TIMESTAMP_FIELD, NOT_A_NUMBER),
    "a truth value for a number": (NUMBER + b"\xc3", NUMBER_FIELD, NOT_A_NUMBER),
    "text for a number": (NUMBER + b"\xa11", NUMBER_FIELD, NOT_A_NUMBER),
    "text for a key": (KEY_NAME + b"\xd9\x20" + b"A" * 32, KEY_FIELD, "'ephemeralPublicKey' must be binary."),
    "a fraction in a key": (KEY_NAME + b"\x91\xca\x3f\xc0\x00\x00", KEY_FIELD, KEY_KIND),
    "a truth value in a key": (KEY_NAME + b"\x91\xc3", KEY_FIELD, KEY_KIND),
    "nil in a key": (KEY_NAME + b"\x91\xc0", KEY_FIELD, KEY_KIND),
    "binary for text": (b"\xa7content\xc4\x04AAAA", CONTENT_FIELD, "'content' must be text."),
    "no content": (b"", CONTENT_FIELD, "'content' is missing."),
}

UUIDS = "'id', 'from' and 'to' must be UUIDs of 36 characters."
KEY_LENGTH = "'ephemeralPublicKey' must be 32 bytes."
BASE64 = "'content' must be padded standard base64."

MESSAGE_VALUES = {
    "an id that is no UUID": (b"\xa2id\xa2m1", ID_FIELD, UUIDS),
    "an id without hyphens": (b"\xa2id\xd9\x20b1d54f2c0a6e4c1b9d0e7f3a5c2e8d41", ID_FIELD, UUIDS),
    "an id with another digit": (b"\xa2id\xd9\x24g1d54f2c-0a6e-4c1b-9d0e-7f3a5c2e8d41", ID_FIELD, UUIDS),
    "a sender in braces": (b"\xa4from\xd9\x26{0f8fad5b-d9cb-469f-a165-70867728950e}", FROM_FIELD, UUIDS),
    "an empty recipient": (b"\xa2to\xa0", TO_FIELD, UUIDS),
    "a key of 31 bytes": (KEY_NAME + b"\xc4\x1f" + bytes(31), KEY_FIELD, KEY_LENGTH),
    "a key of 33 bytes": (KEY_NAME + b"\xc4\x21" + bytes(33), KEY_FIELD, KEY_LENGTH),
    "a key of 31 numbers": (KEY_NAME + b"\xdc\x00\x1f" + bytes(31), KEY_FIELD, KEY_LENGTH),
    "a key with 256": (KEY_NAME + b"\xdc\x00\x20" + bytes(31) + b"\xcd\x01\x00", KEY_FIELD, KEY_LENGTH),
    "a key with -1": (KEY_NAME + b"\xdc\x00\x20" + bytes(31) + b"\xff", KEY_FIELD, KEY_LENGTH),
    "a number of 33 bits": (
        NUMBER + b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
        NUMBER_FIELD,
        "'messageNumber' must be at most 4294967295.",
    ),
    "empty content": (b"\xa7content\xa0", CONTENT_FIELD, BASE64),
    "content without padding": (b"\xa7content\xa2AA", CONTENT_FIELD, BASE64),
    "content with short padding": (b"\xa7content\xa3AA=", CONTENT_FIELD, BASE64),
    "content with padding in excess": (b"\xa7content\xa5AAAA=", CONTENT_FIELD, BASE64),
    "content of padding": (b"\xa7content\xa4====", CONTENT_FIELD, BASE64),
    "content with three signs of padding": (b"\xa7content\xa4A===", CONTENT_FIELD, BASE64),
    "content after padding": (b"\xa7content\xa8AA==AAAA", CONTENT_FIELD, BASE64),
    "the URL alphabet": (b"\xa7content\xa4AA-_", CONTENT_FIELD, BASE64),
    "content with a line break": (b"\xa7content\xa4AAA\n", CONTENT_FIELD, BASE64),
    "content with a full-width letter": (b"\xa7content\xa6AAA\xef\xbc\xa1", CONTENT_FIELD, BASE64),
}


class TestRefused:
    @pytest.mark.parametrize(("frame", "text"), ENVELOPES.values(), ids=ENVELOPES.keys())
    def test_envelopes(self, frame: bytes, text: str) -> None:
        refusal = _refusal(frame)
        assert (refusal.code, refusal.text) == (ErrorCode.INVALID_FORMAT, text)

    @pytest.mark.parametrize(("rest", "text"), FIELDS.values(), ids=FIELDS.keys())
    def test_fields_of_another_type(self, rest: bytes, text: str) -> None:
        refusal = _refusal(b"\x82\xa4type" + rest)
        assert (refusal.code, refusal.text) == (ErrorCode.INVALID_FORMAT, text)

    @pytest.mark.parametrize(
        ("field", "instead_of", "text"), MESSAGE_TYPES.values(), ids=MESSAGE_TYPES.keys()
    )
    def test_messages_with_a_field_of_another_type(self, field: bytes, instead_of: bytes, text: str) -> None:
        refusal = _refusal(send_message_with(field, instead_of=instead_of))
        assert refusal.code is ErrorCode.INVALID_FORMAT
        assert text in refusal.text
        assert refusal.request_id == ID

    @pytest.mark.parametrize(
        ("field", "instead_of", "text"), MESSAGE_VALUES.values(), ids=MESSAGE_VALUES.keys()
    )
    def test_messages_with_a_wrong_value(self, field: bytes, instead_of: bytes, text: str) -> None:
        refusal = _refusal(send_message_with(field, instead_of=instead_of))
        assert (refusal.code, refusal.text) == (ErrorCode.INVALID_MESSAGE_FORMAT, text)

    def test_content_that_is_too_long(self) -> None:
        content = b"\xa7content\xdb\x00\x01\x80\x01" + b"A" * 98_305
        refusal = _refusal(send_message_with(content, instead_of=CONTENT_FIELD))
        assert refusal.code is ErrorCode.MESSAGE_TOO_LARGE
        assert refusal.request_id == ID

    def test_a_frame_that_is_too_long(self) -> None:
        assert _refusal(bytes(128 * 1024 + 1)).code is ErrorCode.MESSAGE_TOO_LARGE

    def test_types_are_judged_before_values(self) -> None:
        fields = [b"\xa2id\xa2m1", *CHAT_FIELDS[1:5], b"\xa7content\xa0", b"\xa9timestamp\xff"]
        assert _refusal(send_message(*fields)).code is ErrorCode.INVALID_FORMAT

    def test_no_text_quotes_the_frame(self) -> None:
        refusal = _refusal(b"\x82\xa4type\xa6secret\xa7payload\x81\xa6secret\xa6secret")
        assert "secret" not in refusal.text + str(refusal)
        assert refusal.__cause__ is None


class TestRequestId:
    def test_of_a_message_is_its_id(self) -> None:
        assert decode_request(send_message(*CHAT_FIELDS)).request_id == ID

    @pytest.mark.parametrize(
        ("field", "request_id"),
        [
            (b"\xa9requestId\xa17", "7"),
            (b"\xa9requestId\xd9\x40" + b"r" * 64, "r" * 64),
            (b"\xa9requestId\xd9\x41" + b"r" * 65, ID),
            (b"\xa9requestId\x07", ID),
            (b"\xa9requestId\xc0", ID),
        ],
        ids=["given", "of 64 characters", "of 65 characters", "a number", "nil"],
    )
    def test_of_the_frame_goes_first_if_it_is_one(self, field: bytes, request_id: str) -> None:
        frame = b"\x83" + send_message(*CHAT_FIELDS)[1:] + field
        assert decode_request(frame).request_id == request_id

    def test_of_another_request_is_not_made_up(self) -> None:
        for frame, message in CLIENT_FRAMES:
            if not isinstance(message, ChatMessage):
                assert decode_request(frame).request_id is None

    def test_is_known_although_the_type_is_not(self) -> None:
        assert _refusal(b"\x82\xa4type\xa1?\xa9requestId\xa17").request_id == "7"

    @pytest.mark.parametrize("field", [b"\xa2id\xd9\x41" + b"x" * 65, b"\xa2id\x07", b""])
    def test_of_a_message_without_a_fitting_id_is_unknown(self, field: bytes) -> None:
        assert _refusal(send_message_with(field, instead_of=ID_FIELD)).request_id is None

    def test_of_a_message_whose_payload_is_no_map_is_unknown(self) -> None:
        assert _refusal(b"\x82\xa4type\xabsendMessage\xa7payload\x91\xa2id").request_id is None

    def test_of_bytes_that_cannot_be_read_is_unknown(self) -> None:
        assert _refusal(b"\xc1").request_id is None


class TestReply:
    def test_unknown_keys_are_ignored(self) -> None:
        frame = (
            b"\x83\xa4type\xa3ack\xa1x\x01\xa7payload\x84"
            b"\xa9messageId\xa1m\xa6status\xa6queued\xa9timestamp\x01\xa1y\x90"
        )
        assert decode_reply(frame) == Ack(message_id="m", status="queued", timestamp=1)

    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b"\xc1",
            b"\x80",
            b"\x82\xa4type\xa3ack\xa7payload\x80",
            b"\x81\xa4type\xa5hello",
            b"\x81\xa4type\xa2\xc3\x28",
            b"\x82\xa4type\xa3ack\xa7payload\x83\xa9messageId\xa1m\xa6status\xa4lost\xa9timestamp\x01",
        ],
    )
    def test_what_no_server_sends_is_refused(self, frame: bytes) -> None:
        with pytest.raises(InvalidFrame):
            decode_reply(frame)
