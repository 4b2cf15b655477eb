"""The form under which names are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.folding import MOST_GROWTH, fold
from accounts.models import DISPLAY_NAME_CHARS, User


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("\uff21\uff4c\uff49\uff43\uff45", "alice"),
        ("ﬁn", "FIN"),
        ("e\u0301", "É"),
        ("\u1e9e", "ss"),
    ],
)
def test_case_width_and_composition_make_no_difference(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("a_b", "a-b"), ("resume", "résumé"), ("O", "0")])
def test_what_looks_alike_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(min_size=DISPLAY_NAME_CHARS, max_size=DISPLAY_NAME_CHARS))
def test_the_column_holds_every_folded_display_name(text: str) -> None:
    assert len(fold(text)) <= (User._meta.get_field("display_name_folded").max_length or 0)


def test_no_character_grows_more_than_the_column_allows() -> None:
    assert max(len(fold(chr(point))) for point in range(0x110000)) <= MOST_GROWTH
