"""Bytes of a client to one plain map: MessagePack with everything refused that the contract refuses.

Source: protocol contract, section 4; the MessagePack specification.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack

from construct_site.errors import ConstructError, ErrorCode

ENTRIES_MAX = 1024
"""Most entries of one array or map, also of an ignored one."""
DEPTH_MAX = 3
"""Arrays and maps within each other: the frame, its payload, a list in it."""
CONTAINERS_MAX = 32
"""Most arrays and maps of a frame, ignored ones included; no message has more than three. Without a limit a
frame of empty maps took 66 ms to read (128 KiB, 2026-11)."""


class InvalidFrame(ConstructError):
    """A frame that is refused: INVALID_FORMAT, INVALID_MESSAGE_FORMAT or MESSAGE_TOO_LARGE.

    ``request_id`` is what the ``error`` reply carries, where known. The text never
    quotes the frame.
    """

    def __init__(self, text: str, *, code: ErrorCode = ErrorCode.INVALID_FORMAT) -> None:
        super().__init__(code, text)
        self.request_id: str | None = None


def unpack(frame: bytes, max_bytes: int) -> dict[str, Any]:
    """The map that a frame holds; its containers are dicts and lists, at most three within each other.

    Raises :class:`InvalidFrame`, and nothing else, for whatever the bytes are.
    """
    if len(frame) > max_bytes:
        raise InvalidFrame(f"A frame has at most {max_bytes} bytes.", code=ErrorCode.MESSAGE_TOO_LARGE)
    containers = _Containers()
    try:
        value = msgpack.unpackb(
            frame,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=containers.take_map,
            list_hook=containers.take_list,
            ext_hook=_refuse_extension,
            max_str_len=max_bytes,
            max_bin_len=max_bytes,
            max_array_len=ENTRIES_MAX,
            max_map_len=ENTRIES_MAX,
            # Timestamps never reach the hook; this stops them.
            max_ext_len=0,
        )
    except ValueError as error:
        raise InvalidFrame(_fault(frame, error)) from None
    if type(value) is not dict:
        raise InvalidFrame(f"The frame must be a map{but_not(value)}.")
    if containers.count > DEPTH_MAX and _is_deep(value):
        raise InvalidFrame("The frame is nested too deeply.")
    return value


def but_not(value: object) -> str:
    """The end of "… must be a map": clients that write records as positional arrays are told so."""
    return ", not an array" if type(value) is list else ""


class _Containers:
    """What becomes of the arrays and maps of one frame, innermost first."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def take_map(self, pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        self.count += 1
        if self.count > CONTAINERS_MAX:
            raise InvalidFrame("The frame has too many arrays and maps.")
        result = dict(pairs)
        if len(result) != len(pairs):
            raise InvalidFrame("A map has the same key twice.")
        for key in result:
            # msgpack's strict_map_key lets binary keys through.
            if type(key) is not str:
                raise InvalidFrame("Every key of a map must be text.")
        return result

    def take_list(self, entries: list[Any]) -> list[Any]:
        self.count += 1
        if self.count > CONTAINERS_MAX:
            raise InvalidFrame("The frame has too many arrays and maps.")
        return entries


def _refuse_extension(_code: int, _data: bytes) -> None:
    raise InvalidFrame("Extension types are not allowed.")


def _fault(frame: bytes, error: ValueError) -> str:
    if not frame:
        return "The frame is empty."
    if frame.lstrip()[:1] in (b"{", b"["):
        return "The frame must be MessagePack, not JSON."
    if isinstance(error, UnicodeDecodeError):
        return "A text is not valid UTF-8."
    if isinstance(error, msgpack.ExtraData):
        return "Bytes follow the end of the frame's map."
    if "map key" in str(error):
        return "Every key of a map must be text."
    if "max_ext_len" in str(error):
        return "Extension types are not allowed."
    if "exceeds max_" in str(error):
        return "An array or a map in the frame is too long."
    return "The frame is not valid MessagePack."


def _is_deep(envelope: dict[str, Any]) -> bool:
    """Whether there is an array or map below the third level."""
    for value in envelope.values():
        for child in _contents(value):
            for grandchild in _contents(child):
                if type(grandchild) is dict or type(grandchild) is list:
                    return True
    return False


def _contents(value: Any) -> Iterable[Any]:
    if type(value) is dict:
        return value.values()
    return value if type(value) is list else ()
