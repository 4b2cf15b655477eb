"""Finding people."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from accounts.services import FoundUser, search_users
from construct_site.errors import ConstructError, ErrorCode

pytestmark = pytest.mark.django_db


def person(username: str, display_name: str = "Somebody", **fields: object) -> User:
    return User.objects.create(username=username, display_name=display_name, **fields)


def found(query: str) -> list[str]:
    return [user.username for user in search_users(query)]


def test_a_person_is_shown_with_what_they_tell() -> None:
    alice = person("alice", "Alice L.", bio="Hello", avatar_url="https://example.org/a.png")
    bob = person("bob")
    assert search_users("ALICE") == [
        FoundUser(alice.pk, "alice", "Alice L.", "https://example.org/a.png", "Hello")
    ]
    assert search_users("bob") == [FoundUser(bob.pk, "bob", "Somebody", None, None)]


@pytest.mark.parametrize("query", ["", " ", "a", " a ", "\u3000a", "%", "_", "é"])
def test_under_two_characters_nobody_is_found_and_nobody_asked(
    query: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    person("aaa", "é % _")
    with django_assert_num_queries(0):
        assert found(query) == []


def test_two_characters_are_a_prefix() -> None:
    person("alice")
    person("malice")
    person("zed", "Al Capone")
    assert found("al") == ["alice", "zed"]


def test_three_characters_are_found_anywhere() -> None:
    person("malice")
    person("zed", "Her Malice")
    person("other")
    assert found("lic") == ["malice", "zed"]


def test_the_exact_come_before_prefixes_before_the_others() -> None:
    for username in ("zann", "hannah", "ann", "annika", "Anna"):
        person(username)
    person("yyy", "Ann")
    assert found("ann") == ["ann", "yyy", "Anna", "annika", "hannah", "zann"]


def test_at_most_twenty_are_found_by_name() -> None:
    for number in range(25):
        person(f"twin-{number:02}")
    assert found("twin") == [f"twin-{number:02}" for number in range(20)]


def test_only_active_people_who_allow_it_are_found() -> None:
    person("alice-hidden", discoverable=False)
    person("alice-off", is_active=False)
    person("alice")
    assert found("alice") == ["alice"]


@pytest.mark.parametrize(
    ("query", "display_name"),
    [
        ("straße", "STRASSE 7"),
        ("STRASSE", "straße 7"),
        ("ß-", "SS-Minnow"),
        ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
        ("\uff46\uff55\uff4c\uff4c", "full width"),
        ("cafe\u0301", "CAFÉ"),
        ("ﬁn", "Finn"),
    ],
)
def test_names_are_compared_folded(query: str, display_name: str) -> None:
    person("someone", display_name)
    assert found(query) == ["someone"]


def test_length_is_counted_after_folding() -> None:
    person("someone", "SSo")
    person("another", "Assent")
    assert found("ß") == ["someone"]


@pytest.mark.parametrize(
    ("query", "display_name"),
    [("100%", "100% Alice"), ("a_b", "a_b c"), ("c:\\d", "c:\\dir"), ("%_\\", "x%_\\x")],
)
def test_signs_of_sql_patterns_are_ordinary_characters(query: str, display_name: str) -> None:
    person("literal", display_name)
    person("decoy", "100 axb c:d abc")
    assert found(query) == ["literal"]


@pytest.mark.parametrize("query", ["%%", "%%%", "___", "__", "\\\\", "a%e", "al_ce", "'; --", '"""'])
def test_patterns_find_nobody(query: str) -> None:
    person("alice")
    assert found(query) == []


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\n", "\x7f", "\x85", "\ud800"])
def test_a_control_character_matches_nobody_and_never_reaches_the_database(
    character: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    person("alice")
    with django_assert_num_queries(0):
        assert found(f"al{character}ice") == []


def test_outer_white_space_of_a_query_does_not_count() -> None:
    person("alice")
    assert found(" \talice\n") == ["alice"]


@pytest.mark.parametrize("query", ["a" * 65, " " * 65, "\x00" * 65, "a" * 100_000])
def test_over_64_characters_are_refused(query: str) -> None:
    with pytest.raises(ConstructError) as refusal:
        search_users(query)
    assert refusal.value.code is ErrorCode.INVALID_FORMAT


def test_64_characters_are_taken_however_long_they_fold() -> None:
    person("someone", "\ufdfa" * 64)
    assert found("\ufdfa" * 64) == ["someone"]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.text(st.characters(), max_size=64))
def test_no_query_is_an_error(query: str) -> None:
    assert search_users(query) == []
