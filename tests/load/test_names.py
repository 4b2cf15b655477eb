"""The names that a search is measured with."""

from __future__ import annotations

import re
from itertools import islice

from accounts.models import USERNAME
from tests.load.names import names


def test_they_are_the_same_each_time_and_usernames_are_valid_and_unique() -> None:
    made = list(names(5_000))
    assert made == list(names(5_000)) == list(islice(names(9_000), 5_000))
    assert {username for username, _ in made}.isdisjoint(
        username for username, _ in names(5_000, first=5_000)
    )
    assert all(re.fullmatch(USERNAME, username) for username, _ in made)
    assert len({username.lower() for username, _ in made}) == len(made)


def test_some_are_frequent_some_are_rare_and_some_are_not_latin() -> None:
    shown = [display_name for _, display_name in names(5_000)]
    assert sum("Maria" in name for name in shown) > 10 * sum("Noah" in name for name in shown) > 0
    assert any(not name.isascii() for name in shown)
