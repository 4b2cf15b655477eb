"""Finding people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from random import Random
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.folding import fold
from accounts.models import User
from accounts.services import FoundUser, search_users
from accounts.services.matching import MOST_RESULTS, MOST_SORTED, SAMPLE_ACCOUNTS
from construct_site.errors import ConstructError, ErrorCode
from tests.plans import plans_of

pytestmark = pytest.mark.django_db

INDEX = re.compile(r"account_search_(\w+)")


def person(username: str, display_name: str = "Somebody", **fields: object) -> User:
    return User.objects.create(username=username, display_name=display_name, **fields)


def people(names: Iterable[tuple[str, str]]) -> None:
    """Many at once, of these usernames and display names. Their ids ascend; their places on disk do not follow them."""
    users = [
        User(
            id=UUID(int=number),
            username=username,
            username_folded=fold(username),
            display_name=display_name,
            display_name_folded=fold(display_name),
        )
        for number, (username, display_name) in enumerate(names)
    ]
    Random(0).shuffle(users)
    User.objects.bulk_create(users, batch_size=2_000)


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


class TestPolicy:
    @pytest.fixture
    def exact(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, search="exact")

    @pytest.fixture
    def off(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, search="off")

    @pytest.mark.usefixtures("exact")
    def test_where_the_search_is_exact_a_whole_username_is_found_in_whatever_case(self) -> None:
        person("Alice")
        assert found(" aLICE ") == ["Alice"]

    @pytest.mark.usefixtures("exact")
    @pytest.mark.parametrize("query", ["al", "alic", "lice", "Alice Liddell", "Alice_", "Alic%"])
    def test_where_the_search_is_exact_no_part_and_no_display_name_is_found(self, query: str) -> None:
        person("Alice", "Alice Liddell")
        person("alicia", "alic")
        assert found(query) == []

    @pytest.mark.usefixtures("exact")
    def test_where_the_search_is_exact_who_hides_is_not_found(self) -> None:
        person("hidden", discoverable=False)
        person("switched-off", is_active=False)
        person("waiting", is_approved=False)
        assert [found(name) for name in ("hidden", "switched-off", "waiting")] == [[], [], []]

    @pytest.mark.usefixtures("off")
    def test_where_the_search_is_off_nobody_is_found_and_nobody_asked(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        person("alice")
        with django_assert_num_queries(0):
            assert found("alice") == []
            with pytest.raises(ConstructError):
                found("a" * 65)


class TestManyMatches:
    def test_a_username_comes_before_the_many_who_show_it(self) -> None:
        people((f"other-{number:03}", "Ann") for number in range(MOST_SORTED + 50))
        person("ann")
        person("anna")
        assert found("ann") == ["ann", *(f"other-{number:03}" for number in range(MOST_RESULTS - 1))]

    def test_of_very_many_display_names_that_begin_so_the_first_are_put_in_order_of_username(self) -> None:
        # Whoever comes first by display name comes last by username.
        people((f"u-{999 - number}", f"Twin {number:03}") for number in range(MOST_SORTED + 50))
        assert found("twin") == [f"u-{number}" for number in range(1000 - MOST_SORTED, 1000)][:MOST_RESULTS]

    def test_of_a_very_frequent_part_some_are_found_in_order_of_username(self) -> None:
        people((f"u-{9999 - number}-frequent", "Somebody") for number in range(SAMPLE_ACCOUNTS + 100))
        assert (
            found("freq")
            == [f"u-{number}-frequent" for number in range(10_000 - SAMPLE_ACCOUNTS, 10_000)][:MOST_RESULTS]
        )

    def test_a_rare_part_is_found_however_many_there_are(self) -> None:
        people((f"u-{number:04}", "A needle" if number < 18 else "Hay") for number in range(SAMPLE_ACCOUNTS))
        person("the-needle", id=UUID(int=2**128 - 1))
        assert found("eedl") == ["the-needle", *(f"u-{number:04}" for number in range(18))]


PLANS = [
    ("exact", "mira-00003", ["username"]),
    ("substring", "an", ["display_name username"]),
    ("substring", "ANA SILVA", ["display_name username"]),
    ("substring", "mira-00003", ["display_name username", "sample", "part"]),
    ("substring", "ira-0", ["display_name username", "sample"]),
    ("substring", "-1171", ["display_name username", "sample", "part"]),
    ("substring", "nobody", ["display_name username", "sample", "part"]),
    ("substring", "e mil", ["display_name username", "sample"]),
]
"""How the search is set, what is searched for, and the indexes of each statement that it takes."""


@pytest.mark.django_db(transaction=True)
def test_a_search_among_twenty_thousand_finds_what_there_is_and_never_reads_all(settings: Settings) -> None:
    words = ["ana", "bruno", "chloe", "mira", "olga", "sven", "yuki", "zoe"]
    surnames = ["Ansari", "Miller", "Okafor", "Silva", "Tanaka"]
    pairs = list(product(words, surnames))
    names = [
        (f"{word}-{number:05}", f"{word.title()} {surname}")
        for number in range(20_000)
        for word, surname in [pairs[number % len(pairs)]]
    ]
    people(names)
    is_postgresql = connection.vendor == "postgresql"
    if is_postgresql:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE accounts_user")
    for mode, query, indexes in PLANS:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, search=mode)
        with CaptureQueriesContext(connection) as captured:
            usernames = found(query)
        matching = {name for name, display in names if fold(query) in name or fold(query) in fold(display)}
        assert len(usernames) == min(len(matching), MOST_RESULTS), query
        assert matching.issuperset(usernames), query
        if is_postgresql:
            plans = list(plans_of(captured.captured_queries))
            assert [" ".join(sorted(INDEX.findall(plan))) for plan in plans] == indexes, (query, plans)
            assert "Seq Scan" not in "".join(plans), (query, plans)
