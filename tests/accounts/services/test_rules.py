"""What names and passwords must be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.services import check_registration
from accounts.services.rules import checked_display_name, is_password_shaped
from construct_site.errors import ConstructError, ErrorCode
from tests.accounts.conftest import PASSWORD


def refusal(username: str = "alice", password: str = PASSWORD, display_name: str | None = None) -> ErrorCode:
    with pytest.raises(ConstructError) as raised:
        check_registration(username, password, display_name)
    return raised.value.code


@pytest.mark.parametrize("username", ["abc", "a" * 32, "A-b_9", "---", "123"])
def test_a_username_of_the_rules_is_taken(username: str) -> None:
    assert check_registration(username, PASSWORD, None) == username


@pytest.mark.parametrize(
    "username",
    [
        "",
        "ab",
        "a" * 33,
        "a b",
        "abc\n",
        "\nabc",
        "abc\x00",
        "äbc",
        "\u0430b\u0441",
        "a.b",
        "a@b",
        "١٢٣",
        "\ud800abc",
    ],
)
def test_other_usernames_are_refused(username: str) -> None:
    assert refusal(username=username) is ErrorCode.INVALID_USERNAME


@given(st.text(max_size=40))
def test_a_username_is_taken_exactly_if_the_rule_says_so(username: str) -> None:
    if re.fullmatch("[A-Za-z0-9_-]{3,32}", username):
        assert check_registration(username, PASSWORD, None) == username
    else:
        assert refusal(username=username) is ErrorCode.INVALID_USERNAME


@pytest.mark.parametrize("password", ["x7#kQ!2p", "🦊" * 8, "p\x00ssw0rd with nul", "ö" * 128])
def test_a_password_of_8_to_128_characters_is_taken(password: str) -> None:
    assert check_registration("alice", password, None) == "alice"


@pytest.mark.parametrize("password", ["", "x7#kQ!2", "y" * 129, "y" * 100_000, "with \udcff surrogate"])
def test_a_password_of_another_shape_is_refused(password: str) -> None:
    assert refusal(password=password) is ErrorCode.WEAK_PASSWORD
    assert not is_password_shaped(password)


@pytest.mark.parametrize("password", ["password", "PASSWORD1", "qwertyuiop", " iloveyou "])
def test_a_common_password_is_refused(password: str) -> None:
    assert refusal(password=password) is ErrorCode.WEAK_PASSWORD


@pytest.mark.parametrize(
    "password", ["SomeBody-77", "somebody-77", "\uff33\uff2f\uff2d\uff25\uff22\uff2f\uff24\uff39-77"]
)
def test_the_username_is_no_password(password: str) -> None:
    assert refusal(username="SomeBody-77", password=password) is ErrorCode.WEAK_PASSWORD


def test_a_refusal_never_repeats_the_password() -> None:
    with pytest.raises(ConstructError) as raised:
        check_registration("alice", "iloveyou", None)
    assert "iloveyou" not in raised.value.text


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("A", "A"),
        ("  Alice \u00a0\n", "Alice"),
        ("Ö" * 64, "Ö" * 64),
        (" " + "x" * 64 + " ", "x" * 64),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("علي", "علي"),
        ("O'Neil; --", "O'Neil; --"),
    ],
)
def test_a_display_name_is_stored_without_outer_white_space(given_name: str, stored: str) -> None:
    assert check_registration("alice", PASSWORD, given_name) == stored


@pytest.mark.parametrize(
    "display_name",
    ["", "   ", "\u200b\u200d", "\u00a0\u3000", "x" * 65]
    + [f"a{character}b" for character in "\x00\n\t\x7f\x85\u2028\u2029\u202e\u202a\u2066\u2069\ud800"],
)
def test_other_display_names_are_refused(display_name: str) -> None:
    assert refusal(display_name=display_name) is ErrorCode.INVALID_DISPLAY_NAME


@given(st.text(st.characters(), max_size=80))
def test_a_display_name_that_was_taken_is_taken_again_and_stays(text: str) -> None:
    try:
        name = checked_display_name(text)
    except ConstructError:
        return
    assert 1 <= len(name) <= 64
    assert checked_display_name(name) == name
    assert name.encode()
