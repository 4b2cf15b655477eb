from __future__ import annotations

from uuid import UUID

import pytest

from messaging.protocol.messages import (
    CLIENT_MESSAGES,
    PAYLOADLESS,
    SERVER_MESSAGES,
    ChatMessage,
)
from tests.messaging.protocol.literals import CHAT_MESSAGE, CLIENT_FRAMES, ID, SENDER, SERVER_FRAMES


def _message(**changes: str) -> ChatMessage:
    fields = {"id": ID, "sender": SENDER, "recipient": SENDER, **changes}
    return ChatMessage(
        **fields,
        ephemeral_public_key=bytes(32),
        message_number=0,
        content="AAAA",
        timestamp=0,
    )


def test_there_are_eight_client_messages_and_the_receipt() -> None:
    assert len(CLIENT_MESSAGES) == 9


def test_there_are_eleven_server_messages_of_which_three_have_no_payload() -> None:
    assert len(SERVER_MESSAGES) == 11
    assert {name for name, record in SERVER_MESSAGES.items() if record in PAYLOADLESS} == {
        "sessionExpired",
        "keyRotationSuccess",
        "logoutSuccess",
    }


def test_every_message_has_a_frame_written_out() -> None:
    assert {type(message) for _, message in CLIENT_FRAMES} == set(CLIENT_MESSAGES.values())
    assert {type(message) for _, message in SERVER_FRAMES} == set(SERVER_MESSAGES.values())


def test_ids_are_equal_whatever_the_case_of_the_text() -> None:
    assert CHAT_MESSAGE.ids.message == UUID(ID.lower()) == _message(id=ID.lower()).ids.message
    assert CHAT_MESSAGE.ids.sender == UUID(SENDER)
    assert str(CHAT_MESSAGE.ids.recipient) == "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    assert CHAT_MESSAGE.id == ID


def test_ids_are_parsed_once() -> None:
    assert CHAT_MESSAGE.ids is CHAT_MESSAGE.ids


@pytest.mark.parametrize("field", ["id", "sender", "recipient"])
@pytest.mark.parametrize("text", ["", ID.replace("-", ""), "{" + ID[1:-1] + "}", f"urn:uuid:{ID}", ID + "\n"])
def test_only_the_hyphenated_form_is_a_uuid(field: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"36 characters|Invalid UUID"):
        _ = _message(**{field: text}).ids
