"""Bundles and updates on the wire: what is taken, what is refused, and by which code."""

from __future__ import annotations

import base64
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add, crypto_core_ed25519_is_valid_point, crypto_scalarmult
from nacl.public import PrivateKey

from construct_site.errors import ConstructError, ErrorCode
from keys.bundle import (
    ENCODED_CHARS,
    Bundle,
    PrekeyUpdate,
    encode_bundle,
    encode_update,
    parse_bundle,
    parse_update,
    verify_update,
)
from tests.keys.owners import KeyOwner

TOP_BIT = 2**255
PRIME = TOP_BIT - 19
OWNER = KeyOwner()

# https://cr.yp.to/ecdh.html, "How do I validate Curve25519 public keys?"
ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
SMALL_ORDER = [
    *(0, 1, *ORDER_8, PRIME - 1, PRIME, PRIME + 1),
    *(PRIME + ORDER_8[0], PRIME + ORDER_8[1], 2 * PRIME - 1, 2 * PRIME, 2 * PRIME + 1),
]

# The eight points of small order on Ed25519, and their non-canonical forms
# (https://eprint.iacr.org/2020/1244, table 1).
SMALL_ORDER_POINTS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]

# RFC 8032 section 7.1, tests 1 to 3: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
            "4a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]

# The public keys of RFC 7748 section 6.1, signed with the first key of RFC 8032.
ON_THE_WIRE = (
    "hK5pZGVudGl0eVB1YmxpY9ksaFNEd0NZa3dwMVIwaTMzY3RENzNXZzIvT2cwbU9CcjA2NlNwanFxYlRtbz2yc2lnbmVkUHJla2V5"
    "UHVibGlj2SwzcDdiZlh0OXdiVFRXMkhDN09RMU56K0RROGhiZUdkTnJmeCtGRytJSzA4PalzaWduYXR1cmXZWGZmWCtUNWYzekZh"
    "R2dxUzJtbjhCTTk5MzhBWkk5RE1PM2haaU5CNFdvKzJGS2xvZHFGSUJWdjdFSHZqdUtjdFhHbHRvVGllWXNTYkwvZlZhSDVoZUNR"
    "PT2sdmVyaWZ5aW5nS2V52SwxMXFZQVlLeENyZlZTLzdUeVdRSE9nN2hjdlBhcGlNbHJ3SWFhUGNIVVJvPQ=="
)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def fields(**changes: Any) -> dict[Any, Any]:
    bundle = OWNER.bundle()
    return {
        "identityPublic": b64(bundle.identity_public),
        "signedPrekeyPublic": b64(bundle.signed_prekey_public),
        "signature": b64(bundle.signature),
        "verifyingKey": b64(bundle.verifying_key),
        **changes,
    }


def packed(value: Any) -> str:
    return b64(msgpack.packb(value))


def refusal(public_key: str) -> ErrorCode:
    with pytest.raises(ConstructError) as raised:
        parse_bundle(public_key)
    return raised.value.code


def update_refusal(update: str) -> ErrorCode:
    with pytest.raises(ConstructError) as raised:
        parse_update(update)
    return raised.value.code


def encoded(coordinate: int) -> bytes:
    return coordinate.to_bytes(32, "little")


def test_what_a_client_encodes_the_server_reads() -> None:
    assert parse_bundle(encode_bundle(OWNER.bundle())) == OWNER.bundle()
    update = OWNER.update()
    assert parse_update(encode_update(update)) == update
    verify_update(update, bytes(OWNER.signing.verify_key))


def test_order_of_keys_makes_no_difference_and_extra_keys_are_ignored() -> None:
    reversed_fields = dict(reversed(fields(extra={"a": [1, None, b"x"]}, später=2**64 - 1).items()))
    assert parse_bundle(packed(reversed_fields)) == OWNER.bundle()
    update = {"x": [], "newPrekeyPublic": b64(bytes([9]) + bytes(31)), "signature": b64(bytes(64))}
    assert parse_update(packed(update)) == PrekeyUpdate(bytes([9]) + bytes(31), bytes(64))


def test_a_bundle_is_these_bytes_on_the_wire() -> None:
    bundle = Bundle(
        identity_public=bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
        signed_prekey_public=bytes.fromhex(
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
        ),
        signature=bytes.fromhex(
            "7df5fe4f97f7cc568682a4b69a7f0133df77f00648f4330ede1662341e16a3ed"
            "852a5a1da8520156fec41ef8ee29cb571a5b684e2798b126cbfdf55a1f985e09"
        ),
        verifying_key=bytes.fromhex(RFC_8032[0][0]),
    )
    assert parse_bundle(ON_THE_WIRE) == bundle
    assert encode_bundle(bundle) == ON_THE_WIRE


NOT_BASE64 = [
    "?",
    "A",
    "AB",
    "ABC",
    "gA=",
    "gA",
    "gA==\n",
    " gA==",
    "gB==",
    "-_-_",
    "gA==gA==",
    "é",
    "\x00",
    "\ud800",
]


@pytest.mark.parametrize("text", NOT_BASE64)
def test_what_is_not_padded_standard_base64_has_codes_of_its_own(text: str) -> None:
    assert refusal(text) is ErrorCode.INVALID_KEY
    assert update_refusal(text) is ErrorCode.INVALID_UPDATE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x80",
        b"\x90",
        b"{}",
        b"\x81\xa1a",
        b"\x80\x80",
        b"\xd4\x01\x00",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\x81\xa1a\xd4\x01\x00",
        b"\x81\xa1a\xc7\x00\x01",
        b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
        b"\x81\xa1\xff\x01",
        b"\x81\x01\x01",
        b"\x81\xc4\x01a\x01",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 3000,
        b"\x81\xa1a" * 900,
    ],
)
def test_what_is_not_a_plain_map_is_refused(data: bytes) -> None:
    assert refusal(b64(data)) is ErrorCode.INVALID_KEY_BUNDLE
    assert update_refusal(b64(data)) is ErrorCode.INVALID_UPDATE


def test_a_repeated_key_is_refused() -> None:
    once = msgpack.packb(fields())
    twice = (
        bytes([once[0] + 1]) + once[1:] + msgpack.packb("signature") + msgpack.packb(fields()["signature"])
    )
    assert refusal(b64(twice)) is ErrorCode.INVALID_KEY_BUNDLE


def test_bytes_after_the_map_are_refused() -> None:
    assert refusal(b64(msgpack.packb(fields()) + b"\x00")) is ErrorCode.INVALID_KEY_BUNDLE


def test_a_positional_array_is_refused() -> None:
    assert refusal(packed(list(fields().values()))) is ErrorCode.INVALID_KEY_BUNDLE


def test_the_text_is_bounded() -> None:
    padding = "x" * (ENCODED_CHARS // 4 * 3 - len(msgpack.packb(fields(x=""))) - 2)
    longest = packed(fields(x=padding))
    assert len(longest) == ENCODED_CHARS
    assert parse_bundle(longest) == OWNER.bundle()
    assert refusal(packed(fields(x=padding + "xxxx"))) is ErrorCode.INVALID_KEY_BUNDLE
    assert update_refusal("A" * 10_000_000) is ErrorCode.INVALID_UPDATE


@pytest.mark.parametrize("name", list(fields()))
@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        True,
        [],
        {},
        "",
        bytes(32),
        b64(bytes(31)),
        b64(bytes(33)),
        b64(b"\xff" * 32).rstrip("="),
        b64(b"\xff" * 32) + "\n",
        b64(b"\xff" * 32).replace("/", "_"),
        b64(b"\xff" * 32).replace("8=", "9="),
        base64.b64encode(b"\xff" * 32),
        "é" * 44,
    ],
)
def test_every_inner_value_is_the_base64_of_its_length(name: str, value: object) -> None:
    assert refusal(packed(fields(**{name: value}))) is ErrorCode.INVALID_KEY_BUNDLE
    assert refusal(packed({key: each for key, each in fields().items() if key != name})) is (
        ErrorCode.INVALID_KEY_BUNDLE
    )


def signed_fields(prekey: bytes) -> dict[Any, Any]:
    update = OWNER.signed(prekey)
    return fields(signedPrekeyPublic=b64(prekey), signature=b64(update.signature))


@pytest.mark.parametrize("coordinate", SMALL_ORDER)
def test_keys_of_small_order_are_refused_everywhere(coordinate: int) -> None:
    key = encoded(coordinate)
    assert refusal(packed(fields(identityPublic=b64(key)))) is ErrorCode.INVALID_KEY_BUNDLE
    assert refusal(packed(signed_fields(key))) is ErrorCode.INVALID_KEY_BUNDLE
    assert update_refusal(encode_update(OWNER.signed(key))) is ErrorCode.INVALID_UPDATE


@pytest.mark.parametrize("coordinate", [each for each in SMALL_ORDER if each < TOP_BIT])
def test_the_top_bit_does_not_hide_a_small_order(coordinate: int) -> None:
    key = encoded(coordinate | TOP_BIT)
    with pytest.raises(RuntimeError):
        crypto_scalarmult(bytes(PrivateKey.generate()), key)  # X25519 ignores that bit
    assert refusal(packed(signed_fields(key))) is ErrorCode.INVALID_KEY_BUNDLE


@pytest.mark.parametrize("coordinate", [PRIME + 9, TOP_BIT - 1, 9 | TOP_BIT, 2**256 - 1])
def test_keys_that_are_not_canonical_are_refused(coordinate: int) -> None:
    key = encoded(coordinate)
    assert refusal(packed(fields(identityPublic=b64(key)))) is ErrorCode.INVALID_KEY_BUNDLE
    assert update_refusal(encode_update(OWNER.signed(key))) is ErrorCode.INVALID_UPDATE


@given(st.integers(min_value=2, max_value=PRIME - 2).filter(lambda each: each not in ORDER_8))
def test_every_other_canonical_key_is_taken(coordinate: int) -> None:
    key = encoded(coordinate)
    crypto_scalarmult(bytes(OWNER.prekey), key)
    assert parse_bundle(packed(fields(identityPublic=b64(key)))).identity_public == key


@pytest.mark.parametrize("point", SMALL_ORDER_POINTS)
def test_verifying_keys_of_small_order_are_refused(point: str) -> None:
    # S = 0 and R of small order: libraries that check neither take this for a signature of anything.
    forged = b64(bytes.fromhex(point) + bytes(32))
    spoilt = fields(verifyingKey=b64(bytes.fromhex(point)), signature=forged)
    assert refusal(packed(spoilt)) is ErrorCode.INVALID_KEY_BUNDLE


def test_a_verifying_key_outside_the_prime_order_subgroup_is_refused() -> None:
    key = crypto_core_ed25519_add(bytes(OWNER.signing.verify_key), bytes.fromhex(SMALL_ORDER_POINTS[4]))
    assert key != bytes(OWNER.signing.verify_key)
    assert not crypto_core_ed25519_is_valid_point(key)
    with pytest.raises(ConstructError, match="INVALID_KEY_BUNDLE") as raised:
        parse_bundle(packed(fields(verifyingKey=b64(key))))
    assert "verifyingKey" in raised.value.text


@pytest.mark.parametrize("key", [b"\x02" + bytes(31), b"\xff" * 32, encoded(PRIME + 3)])
def test_a_verifying_key_that_is_no_point_is_refused(key: bytes) -> None:
    assert refusal(packed(fields(verifyingKey=b64(key)))) is ErrorCode.INVALID_KEY_BUNDLE


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_signatures_of_the_standard_verify(public: str, message: str, signature: str) -> None:
    key, data = bytes.fromhex(public), bytes.fromhex(message)
    verify_update(PrekeyUpdate(data, bytes.fromhex(signature)), key)
    for spoilt in (PrekeyUpdate(data + b"\x00", bytes.fromhex(signature)), PrekeyUpdate(data, bytes(64))):
        with pytest.raises(ConstructError) as raised:
            verify_update(spoilt, key)
        assert raised.value.code is ErrorCode.INVALID_UPDATE


def test_a_signature_with_the_group_order_added_is_refused() -> None:
    update = OWNER.update()
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(update.signature[32:], "little") + order
    malleable = PrekeyUpdate(update.new_prekey_public, update.signature[:32] + encoded(scalar))
    with pytest.raises(ConstructError):
        verify_update(malleable, bytes(OWNER.signing.verify_key))


def test_a_signature_by_somebody_else_is_refused() -> None:
    stranger = KeyOwner().signed(OWNER.bundle().signed_prekey_public)
    assert refusal(packed(fields(signature=b64(stranger.signature)))) is ErrorCode.INVALID_KEY_BUNDLE


def test_a_signature_over_the_text_instead_of_the_raw_bytes_is_refused() -> None:
    over_text = OWNER.signing.sign(b64(OWNER.bundle().signed_prekey_public).encode()).signature
    assert refusal(packed(fields(signature=b64(over_text)))) is ErrorCode.INVALID_KEY_BUNDLE


@given(st.integers(0, 63), st.integers(0, 7))
def test_a_signature_with_one_bit_changed_is_refused(byte: int, bit: int) -> None:
    signature = bytearray(OWNER.bundle().signature)
    signature[byte] ^= 1 << bit
    assert refusal(packed(fields(signature=b64(bytes(signature))))) is ErrorCode.INVALID_KEY_BUNDLE


@given(st.text(max_size=ENCODED_CHARS + 10) | st.binary(max_size=600).map(b64))
def test_any_text_is_refused_by_a_code_of_the_table(text: str) -> None:
    assert refusal(text) in {ErrorCode.INVALID_KEY, ErrorCode.INVALID_KEY_BUNDLE}
    assert update_refusal(text) is ErrorCode.INVALID_UPDATE


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 9) | st.binary(), inner),
    max_leaves=10,
)


@given(st.sampled_from(list(fields())), JSON_LIKE)
def test_any_value_in_the_place_of_a_key_is_refused(name: str, value: object) -> None:
    assert refusal(packed(fields(**{name: value}))) is ErrorCode.INVALID_KEY_BUNDLE


@given(JSON_LIKE)
def test_any_other_value_is_refused(value: object) -> None:
    assert refusal(packed(value)) is ErrorCode.INVALID_KEY_BUNDLE


@given(st.data())
def test_a_bundle_with_one_byte_changed_is_taken_or_refused_but_never_an_error(data: st.DataObject) -> None:
    spoilt = bytearray(msgpack.packb(fields()))
    place = data.draw(st.integers(0, len(spoilt) - 1))
    spoilt[place] = data.draw(st.integers(0, 255))
    try:
        bundle = parse_bundle(b64(bytes(spoilt)))
    except ConstructError as error:
        assert error.code is ErrorCode.INVALID_KEY_BUNDLE  # noqa: PT017 - which of both is up to the draw
    else:
        # The signature covers the prekey alone, so another identity key passes.
        assert bundle.signed_prekey_public == OWNER.bundle().signed_prekey_public


def test_no_refusal_repeats_what_was_sent() -> None:
    for text in (packed(fields(signature="super secret")), "super secret"):
        with pytest.raises(ConstructError) as raised:
            parse_bundle(text)
        assert "super secret" not in raised.value.text
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
