from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from construct_site.server.framing import BINARY, PING, PONG, Unread, header, read_frame, unmask

MASK = b"\x01\x02\x03\x04"
PLENTY = 1 << 20


def client_frame(first: int, payload: bytes, mask: bytes = MASK) -> bytes:
    """RFC 6455 section 5.2, written out apart from the code under test."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0x80 | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, 0x80 | 127)) + struct.pack("!Q", size)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return head + mask + masked


def test_the_masked_hello_of_the_specification() -> None:
    # RFC 6455 section 5.7, as a binary message.
    frame = bytes.fromhex("82 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert read_frame(frame, 0, PLENTY) == (BINARY, b"Hello", len(frame))


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 65535, 65536, 70000])
def test_every_form_of_the_length_is_read(size: int) -> None:
    payload = bytes(place % 251 for place in range(size))
    frame = client_frame(0x82, payload)
    assert read_frame(b"??" + frame, 2, PLENTY) == (BINARY, payload, len(frame) + 2)


def test_a_pong_is_read() -> None:
    frame = client_frame(0x8A, b"12345678")
    assert read_frame(frame, 0, PLENTY) == (PONG, b"12345678", len(frame))


@pytest.mark.parametrize("size", [0, 5, 300, 66000])
def test_a_part_of_a_frame_is_incomplete_wherever_it_ends(size: int) -> None:
    frame = client_frame(0x82, bytes(size))
    for end in {0, 1, 2, 3, 5, 9, 13, len(frame) // 2, len(frame) - 1} & set(range(len(frame))):
        assert read_frame(frame[:end], 0, PLENTY) is Unread.INCOMPLETE


@pytest.mark.parametrize(
    "frame",
    [
        client_frame(0x81, b"text"),
        client_frame(0x02, b"first fragment"),
        client_frame(0x80, b"last fragment"),
        client_frame(0xC2, b"reserved bit"),
        client_frame(0x88, struct.pack("!H", 1000)),
        client_frame(0x89, b"ping"),
        client_frame(0x8A, bytes(126)),
        b"\x82\x05Hello",
        client_frame(0x82, bytes(101)),
    ],
)
def test_whatever_is_unusual_or_wrong_is_left_to_the_full_parser(frame: bytes) -> None:
    assert read_frame(frame, 0, 100) is Unread.UNUSUAL


@given(st.binary(max_size=600), st.binary(min_size=4, max_size=4))
def test_unmasking_is_the_byte_by_byte_exclusive_or(payload: bytes, mask: bytes) -> None:
    assert unmask(payload, mask) == bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


@given(st.binary(max_size=40))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    result = read_frame(data, 0, 100)
    if not isinstance(result, Unread):
        opcode, payload, end = result
        assert opcode in (BINARY, PONG)
        assert len(payload) < end <= len(data)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "82 00"),
        (125, "82 7d"),
        (126, "82 7e 00 7e"),
        (65535, "82 7e ff ff"),
        (65536, "82 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_headers_are_the_shortest_form(size: int, expected: str) -> None:
    assert header(BINARY, size) == bytes.fromhex(expected)


def test_a_ping_has_its_own_opcode() -> None:
    assert header(PING, 16) == b"\x89\x10"
