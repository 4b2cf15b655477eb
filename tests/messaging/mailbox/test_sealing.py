from __future__ import annotations

import hashlib
import hmac
from uuid import UUID

import pytest

from messaging.mailbox.sealing import KeyRing, Names, Unreadable

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
FRAME = b"a frame of some length"
RECIPIENT, OTHER = b"r" * 16, b"s" * 16
NAME = b"n" * 16


class TestKeyRing:
    @pytest.mark.parametrize("frame", [b"", FRAME, bytes(128 * 1024)], ids=["empty", "short", "largest"])
    def test_what_was_encrypted_comes_back(self, frame: bytes) -> None:
        ring = KeyRing([NEW])
        assert ring.decrypt(ring.encrypt(frame, RECIPIENT, NAME), RECIPIENT, NAME) == frame

    def test_the_format_is_the_documented_one(self) -> None:
        sealed = KeyRing([NEW]).encrypt(FRAME, RECIPIENT, NAME)
        assert sealed[:1] == b"\x01"
        assert sealed[1:5] == hashlib.sha256(NEW).digest()[:4]
        assert len(sealed) == 1 + 4 + 24 + len(FRAME) + 16
        assert FRAME not in sealed

    def test_the_same_frame_is_never_encrypted_alike(self) -> None:
        ring = KeyRing([NEW])
        assert ring.encrypt(FRAME, RECIPIENT, NAME) != ring.encrypt(FRAME, RECIPIENT, NAME)

    @pytest.mark.parametrize(("recipient", "name"), [(OTHER, NAME), (RECIPIENT, b"m" * 16), (b"", b"")])
    def test_a_row_opens_only_where_it_was_written(self, recipient: bytes, name: bytes) -> None:
        ring = KeyRing([NEW])
        sealed = ring.encrypt(FRAME, RECIPIENT, NAME)
        with pytest.raises(Unreadable):
            ring.decrypt(sealed, recipient, name)

    def test_a_changed_bit_anywhere_makes_it_unreadable(self) -> None:
        ring = KeyRing([NEW])
        sealed = ring.encrypt(FRAME, RECIPIENT, NAME)
        for position in range(len(sealed)):
            spoilt = bytearray(sealed)
            spoilt[position] ^= 0x80
            with pytest.raises(Unreadable):
                ring.decrypt(bytes(spoilt), RECIPIENT, NAME)

    def test_a_row_cut_anywhere_is_unreadable(self) -> None:
        ring = KeyRing([NEW])
        sealed = ring.encrypt(FRAME, RECIPIENT, NAME)
        for length in range(len(sealed)):
            with pytest.raises(Unreadable):
                ring.decrypt(sealed[:length], RECIPIENT, NAME)

    def test_an_unknown_key_is_unreadable(self) -> None:
        sealed = KeyRing([OLD]).encrypt(FRAME, RECIPIENT, NAME)
        with pytest.raises(Unreadable):
            KeyRing([NEW]).decrypt(sealed, RECIPIENT, NAME)

    def test_an_old_key_still_decrypts_and_the_newest_encrypts(self) -> None:
        sealed = KeyRing([OLD]).encrypt(FRAME, RECIPIENT, NAME)
        ring = KeyRing([NEW, OLD])
        assert ring.decrypt(sealed, RECIPIENT, NAME) == FRAME
        renewed = ring.encrypt(FRAME, RECIPIENT, NAME)
        assert KeyRing([NEW]).decrypt(renewed, RECIPIENT, NAME) == FRAME

    @pytest.mark.parametrize("keys", [[], [b""], [bytes(31)], [bytes(33)], [NEW, bytes(16)]])
    def test_keys_of_another_length_are_refused(self, keys: list[bytes]) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            KeyRing(keys)


class TestNames:
    SENDER = UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77")
    RECIPIENT = UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b78")
    MESSAGE = UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b79")

    def name(self, sender: UUID = SENDER, recipient: UUID = RECIPIENT, message: UUID = MESSAGE) -> bytes:
        return Names(NEW).name(sender.bytes, recipient.bytes, message.bytes)

    def test_a_name_is_the_documented_keyed_hash(self) -> None:
        data = b"name" + self.SENDER.bytes + self.RECIPIENT.bytes + self.MESSAGE.bytes
        assert self.name() == hmac.new(NEW, data, "sha256").digest()[:16]

    def test_ids_in_either_case_name_the_same_message(self) -> None:
        shouted = [UUID(str(each).upper()) for each in (self.SENDER, self.RECIPIENT, self.MESSAGE)]
        assert self.name(*shouted) == self.name()

    def test_every_part_counts_and_so_does_its_place(self) -> None:
        names = {
            self.name(),
            self.name(sender=self.RECIPIENT, recipient=self.SENDER),
            self.name(sender=self.MESSAGE, message=self.SENDER),
            self.name(recipient=self.MESSAGE, message=self.RECIPIENT),
            Names(OLD).name(self.SENDER.bytes, self.RECIPIENT.bytes, self.MESSAGE.bytes),
        }
        assert len(names) == 5

    def test_a_pair_has_a_direction(self) -> None:
        names = Names(NEW)
        there = names.pair(self.SENDER.bytes, self.RECIPIENT.bytes)
        back = names.pair(self.RECIPIENT.bytes, self.SENDER.bytes)
        assert there != back
        assert there == names.pair(self.SENDER.bytes, self.RECIPIENT.bytes)

    def test_purposes_are_told_apart(self) -> None:
        names = Names(NEW)
        parts = b"a" * 16, b"b" * 16
        of_each = {names.pair(*parts), names.name(*parts, b""), names.body(parts[0] + parts[1], 0, "")}
        assert len(of_each) == 3
        assert {len(digest) for digest in of_each} == {16}

    def test_a_byte_moved_between_the_parts_of_a_body_is_another_body(self) -> None:
        names = Names(NEW)
        key = b"k" * 32
        bodies = {
            names.body(key, 0x41, "BBBB"),
            names.body(key, 0x4142, "BBB"),
            names.body(key, 0, "ABBBB"),
            names.body(key, 0x41, "BBB"),
            names.body(b"K" * 32, 0x41, "BBBB"),
        }
        assert len(bodies) == 5

    def test_the_same_body_is_the_same(self) -> None:
        assert Names(NEW).body(b"k" * 32, 2**32 - 1, "AAAA") == Names(NEW).body(b"k" * 32, 2**32 - 1, "AAAA")

    @pytest.mark.parametrize("key", [b"", bytes(31), bytes(64)])
    def test_a_key_of_another_length_is_refused(self, key: bytes) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            Names(key)
