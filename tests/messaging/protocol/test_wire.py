"""Every message in both directions against bytes written out by hand."""

from __future__ import annotations

from uuid import UUID

import pytest

from messaging.protocol.codec import (
    decode_reply,
    decode_request,
    encode,
    encode_request,
    message_id_of,
    sender_of,
)
from messaging.protocol.messages import CLIENT_MESSAGES, ChatMessage, ClientMessage, ServerMessage
from tests.messaging.protocol.literals import CHAT_MESSAGE, CLIENT_FRAMES, ID, SERVER_FRAMES


@pytest.mark.parametrize(("frame", "message"), CLIENT_FRAMES)
def test_a_client_frame_means_its_message(frame: bytes, message: ClientMessage) -> None:
    request = decode_request(frame)
    assert request.payload == message
    assert CLIENT_MESSAGES[request.type] is type(message)


@pytest.mark.parametrize(("frame", "message"), CLIENT_FRAMES)
def test_the_reference_client_writes_exactly_these_bytes(frame: bytes, message: ClientMessage) -> None:
    assert encode_request(message) == frame


@pytest.mark.parametrize(("frame", "message"), SERVER_FRAMES)
def test_the_server_writes_exactly_these_bytes(frame: bytes, message: ServerMessage) -> None:
    assert encode(message) == frame


@pytest.mark.parametrize(("frame", "message"), SERVER_FRAMES)
def test_the_reference_client_reads_them(frame: bytes, message: ServerMessage) -> None:
    assert decode_reply(frame) == message


def test_a_request_id_follows_the_payload() -> None:
    frame = b"\x83\xa4type\xabsearchUsers\xa7payload\x81\xa5query\xa2al\xa9requestId\xa47-up"
    request = decode_request(frame)
    assert request.request_id == "7-up"
    assert encode_request(request.payload, "7-up") == frame


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\xcc\x80"),
        (255, b"\xcc\xff"),
        (256, b"\xcd\x01\x00"),
        (65_536, b"\xce\x00\x01\x00\x00"),
        (2**32, b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
        (2**64 - 1, b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
    ],
)
def test_numbers_take_the_fewest_bytes(number: int, encoded: bytes) -> None:
    message = ChatMessage(
        id=ID,
        sender=ID,
        recipient=ID,
        ephemeral_public_key=bytes(32),
        message_number=0,
        content="AAAA",
        timestamp=number,
    )
    assert encode(message).endswith(b"\xa9timestamp" + encoded)


def test_the_id_and_the_sender_of_an_encoded_message_are_read_without_decoding_it() -> None:
    assert message_id_of(encode(CHAT_MESSAGE)) == ID
    assert sender_of(encode(CHAT_MESSAGE)) == UUID(CHAT_MESSAGE.sender)


@pytest.mark.parametrize(
    "frame", [frame for frame, message in SERVER_FRAMES if message != CHAT_MESSAGE] + [b""]
)
def test_another_frame_has_no_message_id_and_no_sender(frame: bytes) -> None:
    for read in (message_id_of, sender_of):
        with pytest.raises(ValueError, match="not an encoded message frame"):
            read(frame)
