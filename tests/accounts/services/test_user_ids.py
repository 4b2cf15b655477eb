from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from accounts.services import parse_user_id
from construct_site.errors import ConstructError, ErrorCode
from tests.messaging.doubles import chat_message

TEXT = "0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77"
NO_IDS = [
    "",
    "alice",
    TEXT.replace("-", ""),
    TEXT.replace("-", "") + "0000",
    "{" + TEXT + "}",
    "{" + TEXT[:-2] + "}",
    "urn:uuid:" + TEXT,
    "urn:uuid:" + TEXT.replace("-", "")[:27],
    TEXT + " ",
    " " + TEXT[:-1],
    TEXT[:-1],
    TEXT[:-1] + "g",
    TEXT[:-1] + "\u0661",
    TEXT.replace("-", "_"),
    TEXT[:8] + "0" + TEXT[9:],
    TEXT[1:9] + TEXT[0] + TEXT[9:],
    "-" * 36,
    "\x00" * 36,
]


@pytest.mark.parametrize("text", [TEXT, TEXT.upper(), TEXT.title()])
def test_a_user_id_may_be_written_in_either_case(text: str) -> None:
    assert parse_user_id(text) == UUID(TEXT)


@pytest.mark.parametrize("text", NO_IDS)
def test_whatever_else_is_no_user_id(text: str) -> None:
    with pytest.raises(ConstructError) as refusal:
        parse_user_id(text)
    assert refusal.value.code is ErrorCode.INVALID_USER_ID


@pytest.mark.parametrize("text", [TEXT, TEXT.upper(), TEXT.title()])
def test_the_wire_takes_the_same_as_the_id_of_a_message(text: str) -> None:
    assert chat_message(uuid4(), uuid4(), message_id=text).ids.message == parse_user_id(text)


@pytest.mark.parametrize("text", NO_IDS[1:])
def test_the_wire_refuses_the_same_as_the_id_of_a_message(text: str) -> None:
    with pytest.raises(ValueError, match=r"36 characters|Invalid UUID"):
        _ = chat_message(uuid4(), uuid4(), message_id=text).ids
