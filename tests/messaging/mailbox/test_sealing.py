from __future__ import annotations

import hashlib
import hmac
from typing import Any
from uuid import UUID

import pytest
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

from messaging.mailbox.letters import Digests
from messaging.mailbox.sealing import KeyRing, Names, Unreadable

OLD, NEW, OTHER_KEY = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
FRAME = b"a frame of some length"
RECIPIENT, OTHER = b"r" * 16, b"s" * 16
NAME = b"n" * 16


class TestKeyRing:
    @pytest.mark.parametrize("frame", [b"", FRAME, bytes(128 * 1024)], ids=["empty", "short", "largest"])
    def test_what_was_encrypted_comes_back(self, frame: bytes) -> None:
        ring = KeyRing([NEW])
        assert ring.decrypt(ring.encrypt(frame, RECIPIENT, NAME), RECIPIENT, NAME) == frame

    def test_the_format_is_the_documented_one(self) -> None:
        ring = KeyRing([NEW])
        for counter in range(3):
            sealed = ring.encrypt(FRAME, RECIPIENT, NAME)
            assert sealed[:1] == b"\x02"
            assert sealed[1:5] == hashlib.sha256(NEW).digest()[:4]
            salt, count = sealed[5:21], sealed[21:29]
            assert count == counter.to_bytes(8, "big")
            subkey = hmac.new(NEW, b"frame" + salt, "sha256").digest()
            opened = crypto_aead_chacha20poly1305_ietf_decrypt(
                sealed[29:], RECIPIENT + NAME, bytes(4) + count, subkey
            )
            assert opened == FRAME
            assert FRAME not in sealed

    def test_two_rings_of_one_key_never_use_one_nonce_under_one_key(self) -> None:
        salts = {KeyRing([NEW]).encrypt(FRAME, RECIPIENT, NAME)[5:21] for _ in range(20)}
        assert len(salts) == 20

    def test_frames_of_the_first_format_still_open(self) -> None:
        nonce = bytes(range(24))
        ciphertext = crypto_aead_xchacha20poly1305_ietf_encrypt(FRAME, RECIPIENT + NAME, nonce, OLD)
        sealed = b"\x01" + hashlib.sha256(OLD).digest()[:4] + nonce + ciphertext
        ring = KeyRing([NEW, OLD])
        assert ring.decrypt(sealed, RECIPIENT, NAME) == FRAME
        for spoilt in (sealed[:-1], sealed[:20], sealed[:5], sealed + b"x", b"\x03" + sealed[1:]):
            with pytest.raises(Unreadable):
                ring.decrypt(spoilt, RECIPIENT, NAME)
        with pytest.raises(Unreadable):
            ring.decrypt(sealed, OTHER, NAME)

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
    MESSAGE: dict[str, Any] = {
        "sender": UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77").bytes,
        "recipient": UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b78").bytes,
        "message_id": UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b79").bytes,
        "ephemeral_public_key": b"k" * 32,
        "message_number": 0x41,
        "content": "BBBB",
    }

    def digests(self, key: bytes = NEW, **changes: Any) -> Digests:
        (only,) = Names([key]).digests(**self.MESSAGE | changes)
        return only

    @pytest.mark.parametrize(
        ("digest", "data"),
        [
            (
                "name",
                b"name" + MESSAGE["sender"] + MESSAGE["recipient"] + MESSAGE["message_id"],
            ),
            ("body", b"body" + b"k" * 32 + (0x41).to_bytes(8, "big") + b"BBBB"),
            ("pair", b"pair" + MESSAGE["sender"] + MESSAGE["recipient"]),
        ],
    )
    def test_a_digest_is_the_documented_keyed_hash(self, digest: str, data: bytes) -> None:
        assert getattr(self.digests(), digest) == hmac.new(NEW, data, "sha256").digest()[:16]

    def test_every_part_of_a_name_counts_and_so_does_its_place(self) -> None:
        sender, recipient, message = (self.MESSAGE[part] for part in ("sender", "recipient", "message_id"))
        names = {
            self.digests().name,
            self.digests(sender=recipient, recipient=sender).name,
            self.digests(sender=message, message_id=sender).name,
            self.digests(recipient=message, message_id=recipient).name,
            self.digests(OLD).name,
        }
        assert len(names) == 5

    def test_a_name_knows_nothing_of_the_body_and_the_body_nothing_of_the_name(self) -> None:
        assert self.digests(content="CCCC").name == self.digests().name
        assert self.digests(message_id=bytes(16)).body == self.digests().body

    def test_a_pair_has_a_direction_and_no_message(self) -> None:
        back = {"sender": self.MESSAGE["recipient"], "recipient": self.MESSAGE["sender"]}
        assert self.digests(**back).pair != self.digests().pair
        assert self.digests(message_id=bytes(16), content="CCCC").pair == self.digests().pair

    def test_purposes_are_told_apart(self) -> None:
        # Equal parts but for the label: an empty id and body leave 32 bytes to each.
        name, body, pair = self.digests(
            sender=b"a" * 16,
            recipient=bytes(16),
            message_id=b"",
            ephemeral_public_key=b"a" * 16 + bytes(8),
            message_number=0,
            content="",
        )
        assert len({name, body, pair}) == 3
        assert {len(digest) for digest in (name, body, pair)} == {16}

    def test_a_byte_moved_between_the_parts_of_a_body_is_another_body(self) -> None:
        parts = [(0x41, "BBBB"), (0x4142, "BBB"), (0, "ABBBB"), (0x41, "BBB")]
        bodies = {self.digests(message_number=number, content=content).body for number, content in parts}
        bodies.add(self.digests(ephemeral_public_key=b"K" * 32).body)
        assert len(bodies) == 5

    def test_the_same_message_is_the_same_up_to_the_largest_number(self) -> None:
        largest: dict[str, Any] = {"message_number": 2**32 - 1, "content": "A" * 98_304}
        assert self.digests(**largest) == self.digests(**largest)

    def test_a_ring_gives_the_digests_of_each_of_its_keys_in_their_order(self) -> None:
        ring = Names([NEW, OLD, OTHER_KEY])
        assert ring.digests(**self.MESSAGE) == [self.digests(key) for key in (NEW, OLD, OTHER_KEY)]

    @pytest.mark.parametrize("keys", [[], [b""], [bytes(31)], [bytes(64)], [NEW, bytes(16)]])
    def test_keys_of_another_length_are_refused(self, keys: list[bytes]) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            Names(keys)
