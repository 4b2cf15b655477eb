"""What a login is checked against, at the same price for everybody."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from accounts.peers import UNKNOWN, Peer
from accounts.services import address_is_known, end_session, find_credentials, open_session, replace_hash
from accounts.services.credentials import address_digest
from tests.accounts.conftest import AWAY, HOME

pytestmark = pytest.mark.django_db


def test_credentials_are_found_in_whatever_case(alice: User) -> None:
    credentials = find_credentials("aLICE")
    assert credentials is not None
    assert (credentials.id, credentials.is_active) == (alice.pk, True)
    assert credentials.encoded_password == alice.password
    assert alice.password not in repr(credentials)


@pytest.mark.parametrize(
    "username",
    [
        "",
        "nobody",
        "alice\x00",
        "\x00",
        "a" * 100_000,
        "\ud800",
        "alice ",
        "%",
        "\uff21\uff4c\uff49\uff43\uff45",
    ],
)
def test_other_texts_find_nobody_with_one_query_too(
    alice: User, username: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        assert find_credentials(username) is None


def test_an_address_is_known_after_a_session_from_there(alice: User) -> None:
    assert not address_is_known(alice.pk, HOME.address)
    grant = open_session(alice, HOME)
    assert address_is_known(alice.pk, HOME.address)
    assert not address_is_known(alice.pk, AWAY.address)
    end_session(grant.token)
    assert address_is_known(alice.pk, HOME.address)


def test_an_address_is_known_for_its_user_alone(alice: User) -> None:
    open_session(alice, HOME)
    assert not address_is_known(User.objects.create_user("bob").pk, HOME.address)
    assert not address_is_known(None, HOME.address)


def test_an_unknown_address_is_never_known(alice: User) -> None:
    open_session(alice, Peer(UNKNOWN, ""))
    assert not address_is_known(alice.pk, UNKNOWN)


@pytest.mark.parametrize("address", [HOME.address, UNKNOWN])
def test_asking_costs_one_query_for_everybody(
    alice: User, address: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for user_id in (alice.pk, None):
        with django_assert_num_queries(1):
            address_is_known(user_id, address)


def test_the_digest_of_an_address_tells_nothing_without_the_key(alice: User, settings: Settings) -> None:
    before = address_digest(alice.pk, HOME.address)
    settings.SECRET_KEY = "another secret key that is long enough to be taken for one"
    assert len(before) == 16
    assert address_digest(alice.pk, HOME.address) != before


def test_a_hash_is_replaced_only_if_the_password_is_still_the_same(alice: User) -> None:
    old = alice.password
    replace_hash(alice.pk, "an older hash", "lost")
    alice.refresh_from_db()
    assert alice.password == old
    replace_hash(alice.pk, old, "new")
    alice.refresh_from_db()
    assert alice.password == "new"


def test_no_query_names_the_address(alice: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        open_session(alice, HOME)
        address_is_known(alice.pk, HOME.address)
    assert queries.captured_queries
    assert not any(HOME.address in query["sql"] for query in queries.captured_queries)
