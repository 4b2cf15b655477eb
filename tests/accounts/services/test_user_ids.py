from __future__ import annotations

from uuid import UUID

import pytest

from accounts.services import parse_user_id
from construct_site.errors import ConstructError, ErrorCode

TEXT = "0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77"


@pytest.mark.parametrize("text", [TEXT, TEXT.upper(), TEXT.title()])
def test_a_user_id_may_be_written_in_either_case(text: str) -> None:
    assert parse_user_id(text) == UUID(TEXT)


@pytest.mark.parametrize(
    "text",
    [
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
    ],
)
def test_whatever_else_is_no_user_id(text: str) -> None:
    with pytest.raises(ConstructError) as refusal:
        parse_user_id(text)
    assert refusal.value.code is ErrorCode.INVALID_USER_ID
