from __future__ import annotations

import base64

import msgspec
import pytest

from construct_site.errors import ConstructError, ErrorCode
from keys.bundle import parse_bundle, parse_update, verify_update
from messaging.client.encryption import Keys, UnreadableMessage, seal, unseal, verified
from messaging.protocol.codec import decode_request, encode_request
from messaging.protocol.messages import ChatMessage, PublicKeyBundle

SENDER = "0f8fad5b-d9cb-469f-a165-70867728950e"
RECIPIENT = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def _seal(keys: Keys, text: str = "Grüße") -> ChatMessage:
    return seal(
        text,
        sender=SENDER,
        recipient=RECIPIENT,
        prekey_public=keys.prekey_public,
        number=7,
        now=1_700_000_000,
    )


def _fetched(keys: Keys, **changes: str) -> PublicKeyBundle:
    bundle = parse_bundle(keys.bundle())
    fields = {
        name: base64.b64encode(getattr(bundle, name)).decode()
        for name in ("identity_public", "signed_prekey_public", "signature", "verifying_key")
    }
    return PublicKeyBundle(user_id=RECIPIENT, username="bob", **{**fields, **changes})


@pytest.mark.parametrize("text", ["", "Grüße", "x" * 50_000])
def test_the_recipient_opens_what_was_sealed(text: str) -> None:
    keys = Keys.generate()
    message = _seal(keys, text)
    assert unseal(message, keys) == text
    assert (message.message_number, message.timestamp) == (7, 1_700_000_000)


def test_a_sealed_message_is_a_valid_request() -> None:
    message = _seal(Keys.generate())
    assert decode_request(encode_request(message)).payload == message


def test_nobody_else_opens_it() -> None:
    with pytest.raises(UnreadableMessage):
        unseal(_seal(Keys.generate()), Keys.generate())


def test_two_messages_of_one_text_have_nothing_in_common() -> None:
    keys = Keys.generate()
    one, other = _seal(keys), _seal(keys)
    assert one.id != other.id
    assert one.ephemeral_public_key != other.ephemeral_public_key
    assert one.content != other.content


@pytest.mark.parametrize(
    "changes",
    [
        {"id": RECIPIENT},
        {"sender": RECIPIENT},
        {"recipient": SENDER},
        {"ephemeral_public_key": bytes(32)},
        {"ephemeral_public_key": b""},
        {"content": "AAAA"},
        {"content": "A" * 64},
        {"content": "?"},
    ],
)
def test_a_changed_message_does_not_open(changes: dict[str, str | bytes]) -> None:
    keys = Keys.generate()
    with pytest.raises(UnreadableMessage):
        unseal(msgspec.structs.replace(_seal(keys), **changes), keys)


def test_the_case_of_ids_is_of_no_account() -> None:
    keys = Keys.generate()
    message = _seal(keys)
    assert unseal(msgspec.structs.replace(message, id=message.id.upper()), keys) == "Grüße"


def test_a_message_for_the_prekey_before_still_opens_and_for_the_one_before_that_does_not() -> None:
    keys = Keys.generate()
    message = _seal(keys)
    rotated = keys.rotated()
    assert unseal(message, rotated) == "Grüße"
    with pytest.raises(UnreadableMessage):
        unseal(message, rotated.rotated())


def test_a_rotation_keeps_the_identity_and_signs_the_new_prekey() -> None:
    keys = Keys.generate()
    rotated = keys.rotated()
    update = parse_update(rotated.update())
    verify_update(update, bytes(keys.signing.verify_key))
    assert update.new_prekey_public == rotated.prekey_public != keys.prekey_public
    assert parse_bundle(rotated.bundle()).identity_public == parse_bundle(keys.bundle()).identity_public


def test_a_fetched_bundle_is_verified() -> None:
    keys = Keys.generate()
    assert verified(_fetched(keys)) == parse_bundle(keys.bundle())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": base64.b64encode(bytes(64)).decode()}, ErrorCode.INVALID_KEY_BUNDLE),
        (
            {"signed_prekey_public": base64.b64encode(bytes(31) + b"\x09").decode()},
            ErrorCode.INVALID_KEY_BUNDLE,
        ),
        ({"identity_public": base64.b64encode(bytes(32)).decode()}, ErrorCode.INVALID_KEY_BUNDLE),
        ({"identity_public": "A"}, ErrorCode.INVALID_KEY),
    ],
    ids=["another signature", "another prekey", "a low-order key", "not base64"],
)
def test_a_forged_bundle_is_refused(changes: dict[str, str], code: ErrorCode) -> None:
    with pytest.raises(ConstructError) as refusal:
        verified(_fetched(Keys.generate(), **changes))
    assert refusal.value.code is code


def test_private_keys_are_not_shown() -> None:
    keys = Keys.generate()
    assert bytes(keys.identity).hex() not in repr(keys)
    assert repr(bytes(keys.signing)) not in repr(keys)
