"""The frames that nearly all traffic is made of, read and written in few steps. Pure.

Whatever is not a whole, final, masked binary message or pong is left to autobahn,
which knows all of RFC 6455. Source: RFC 6455 sections 5.2 and 5.3.
"""

from __future__ import annotations

import struct
from enum import Enum, auto

BINARY = 0x2
PING = 0x9
PONG = 0xA

_FINAL = 0x80
_MASKED = 0x80
_CONTROL_PAYLOAD_MAX = 125
_PLAIN_FIRST_BYTES = frozenset({_FINAL | BINARY, _FINAL | PONG})


class Unread(Enum):
    """Why no frame was read."""

    INCOMPLETE = auto()
    """More bytes are needed."""
    UNUSUAL = auto()
    """Not one of the frames read here, or a fault: the full parser decides."""


def read_frame(data: bytes, start: int, payload_max: int) -> tuple[int, bytes, int] | Unread:
    """The client's frame at `start`: its opcode, its payload unmasked, and where the next one begins."""
    available = len(data) - start
    if available < 2:
        return Unread.INCOMPLETE
    first, size = data[start], data[start + 1] ^ _MASKED
    if first not in _PLAIN_FIRST_BYTES or size > 127:
        return Unread.UNUSUAL
    header = 2
    if size > _CONTROL_PAYLOAD_MAX:
        if first != _FINAL | BINARY:
            return Unread.UNUSUAL
        header = 4 if size == 126 else 10
        if available < header:
            return Unread.INCOMPLETE
        (size,) = struct.unpack_from("!H" if header == 4 else "!Q", data, start + 2)
    if size > payload_max:
        return Unread.UNUSUAL
    end = start + header + 4 + size
    if len(data) < end:
        return Unread.INCOMPLETE
    mask = data[start + header : start + header + 4]
    return first & 0x0F, unmask(data[start + header + 4 : end], mask), end


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Exclusive-or of `payload` with the repeated 4-byte `mask`, as one operation on long integers."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def header(opcode: int, size: int) -> bytes:
    """The header of a server's frame: final, not masked."""
    if size <= _CONTROL_PAYLOAD_MAX:
        return bytes((_FINAL | opcode, size))
    if size < 1 << 16:
        return struct.pack("!BBH", _FINAL | opcode, 126, size)
    return struct.pack("!BBQ", _FINAL | opcode, 127, size)
