"""Challenges for registrations: signed, stored nowhere, good for one account until they expire."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import transaction
from pytest_django import Settings

from accounts.models import UsedChallenge
from accounts.services import check_unused, check_work, make_challenge, purge_challenges, use_work
from construct_site.errors import ConstructError
from construct_site.proof_of_work import Challenge, search

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
BITS = 6
LIFE_S = 600


@pytest.fixture(autouse=True)
def asked_for(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, registration="open", registration_work_bits=BITS)


def challenge() -> Challenge:
    made = make_challenge()
    assert made is not None
    return made


def solved(given: Challenge | None = None) -> str:
    work = search((given or challenge()).challenge, BITS, range(10**6))
    assert work is not None
    return work


def refusal(work: str | None) -> str:
    with pytest.raises(ConstructError) as refused:
        check_work(work)
    assert refused.value.challenge is not None, "the next attempt needs one"
    return refused.value.code.value


def spoilt(work: str, index: int) -> str:
    """The challenge with one bit of this byte changed, and work found for it."""
    text, _, _ = work.partition(":")
    signed = bytearray(base64.urlsafe_b64decode(text))
    signed[index] ^= 1
    again = search(base64.urlsafe_b64encode(signed).decode(), BITS, range(10**6))
    assert again is not None
    return again


def test_a_solved_challenge_is_work() -> None:
    given = challenge()
    assert given.bits == BITS
    assert check_work(solved(given)) is not None
    assert challenge().challenge != given.challenge


@pytest.mark.parametrize("work", [None, ""])
def test_without_any_it_is_asked_for(work: str | None) -> None:
    assert refusal(work) == "WORK_REQUIRED"


@pytest.mark.parametrize("byte", [0, 7, 8, 9, 22, 23, 38])
def test_a_challenge_of_another_end_fewer_bits_or_another_server_is_none(byte: int) -> None:
    assert refusal(spoilt(solved(), byte)) == "INVALID_WORK"


def test_a_challenge_under_another_secret_is_none(settings: Settings) -> None:
    work = solved()
    settings.SECRET_KEY = "another" * 10
    assert refusal(work) == "INVALID_WORK"


@pytest.mark.parametrize(
    "form", ["{0}", "{0}:", "{0}:x", "{0}:-1", "{0}:1:1", "{0}:\u0661", "{0}:" + "1" * 21, "\ud800:1", "1:1"]
)
def test_what_has_not_the_form_is_none(form: str) -> None:
    assert refusal(form.format(challenge().challenge)) == "INVALID_WORK"


def test_too_few_zero_bits_prove_nothing() -> None:
    given = challenge()
    first = int(solved(given).partition(":")[2])
    unsolved = first + 1 if first == 0 else first - 1
    assert search(given.challenge, BITS, [unsolved]) is None
    assert refusal(f"{given.challenge}:{unsolved}") == "INVALID_WORK"


def test_a_challenge_lives_for_its_time() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        given = challenge()
        assert given.expires == int(NOON.timestamp()) + LIFE_S
        work = solved(given)
        clock.shift(timedelta(seconds=LIFE_S - 1))
        assert check_work(work) is not None
        clock.shift(timedelta(seconds=1))
        assert refusal(work) == "INVALID_WORK"


def test_more_bits_are_asked_of_the_next_challenge(settings: Settings) -> None:
    work = solved()
    settings.CONSTRUCT = replace(settings.CONSTRUCT, registration_work_bits=28)
    assert challenge().bits == 28
    assert check_work(work) is not None, "as it was asked for"


@pytest.mark.parametrize("changes", [{"registration": "approval"}, {"registration_work_bits": 0}])
def test_where_none_is_asked_for_nothing_is_looked_at(settings: Settings, changes: dict[str, object]) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, **changes)
    assert make_challenge() is None
    assert check_work(None) is None
    assert check_work("nonsense") is None


@pytest.mark.django_db
def test_a_challenge_is_used_once_and_kept_until_it_has_expired_on_every_process() -> None:
    with time_machine.travel(NOON, tick=False):
        work = check_work(solved())
        assert work is not None
        check_unused(work)
        use_work(work)
        for again in (check_unused, use_work):
            with pytest.raises(ConstructError) as refused:
                again(work)
            assert refused.value.code == "INVALID_WORK"
    expiry = NOON + timedelta(seconds=LIFE_S)
    assert purge_challenges(expiry + timedelta(seconds=299)) == 0
    assert purge_challenges(expiry + timedelta(seconds=300)) == 1
    assert not UsedChallenge.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_fails_has_used_nothing() -> None:
    work = check_work(solved())
    assert work is not None
    with transaction.atomic():
        use_work(work)
        transaction.set_rollback(True)
    check_unused(work)
