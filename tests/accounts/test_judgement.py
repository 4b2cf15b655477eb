"""Asking the policy: what is refused at the start, and that a fault lets nobody through."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings
from structlog.testing import capture_logs

from accounts.judgement import admit, get_policy, judge
from accounts.policy import Account, DefaultPolicy, FetchFacts, LogInFacts, SearchFacts, SendingFacts
from construct_site.checks import refuse_unusable_parts
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import Limiter, RateLimit
from tests.accounts.policies import (
    SECRET,
    UNWANTED,
    Asynchronous,
    CannotBeMade,
    Faulty,
    LimitsLogIns,
    OneAnHour,
    Strict,
    Unfinished,
    Unrelated,
    choose,
)

ALICE = Account(uuid4(), datetime(2026, 11, 26, tzinfo=UTC))
SENDING = SendingFacts(0.0, ALICE, uuid4(), 100)
UNUSABLE: dict[str, type[object] | str] = {
    "that is not there": "accounts.policy.NoSuchPolicy",
    "of a module that is not there": "no.such.module",
    "without a dot": "policy",
    "that is no class": "accounts.policy.ALLOW",
    "that is no policy": Unrelated,
    "that answers nothing": Unfinished,
    "that answers later": Asynchronous,
    "that cannot be made": CannotBeMade,
}


@pytest.mark.pure
@pytest.mark.parametrize("named", UNUSABLE)
def test_a_policy_is_refused_at_the_start(settings: Settings, named: str) -> None:
    choose(settings, UNUSABLE[named])
    with pytest.raises(ImproperlyConfigured, match="CONSTRUCT_POLICY") as refused:
        refuse_unusable_parts()
    assert SECRET not in str(refused.value)
    with pytest.raises(SystemCheckError, match=r"construct\.E002"):
        call_command("check")


@pytest.mark.pure
def test_the_named_policy_is_made_once(settings: Settings) -> None:
    assert type(get_policy()) is DefaultPolicy
    refuse_unusable_parts()
    choose(settings, Strict)
    assert type(get_policy()) is Strict
    assert get_policy() is get_policy()


@pytest.mark.pure
def test_a_verdict_is_a_limit_or_an_error() -> None:
    assert judge(DefaultPolicy().may_send, SENDING) is None
    assert judge(OneAnHour().may_send, SENDING) == 1
    with pytest.raises(ConstructError) as refused:
        judge(Strict().may_send, SendingFacts(0.0, ALICE, UNWANTED, 100))
    assert (refused.value.code, refused.value.text) == (ErrorCode.FORBIDDEN, "Not here.")


@pytest.mark.pure
def test_what_fails_lets_nobody_through_and_the_log_tells_no_more_than_its_class() -> None:
    log_in = LogInFacts(0.0, ALICE, "192.0.2.7", False, None, False)
    faults: tuple[Callable[[], object], ...] = (
        lambda: judge(Faulty().may_send, SENDING),
        lambda: judge(Faulty().may_search, SearchFacts(0.0, ALICE)),
        lambda: judge(Faulty().may_fetch_bundle, FetchFacts(0.0, ALICE)),
        lambda: judge(LimitsLogIns().may_log_in, log_in),
    )
    with capture_logs() as logged:
        for fault in faults:
            with pytest.raises(ConstructError) as refused:
                fault()
            assert refused.value.code is ErrorCode.SERVER_ERROR
            assert refused.value.__cause__ is None
    assert [line["asked"] for line in logged] == ["SendingFacts", "SearchFacts", "FetchFacts", "LogInFacts"]
    assert logged[0]["error"].startswith("KeyError in tests.accounts.policies")
    assert logged[1]["error"] == "no verdict: NoneType"
    assert SECRET not in repr(logged)


async def test_searches_and_bundles_are_counted_within_the_policys_limit(
    settings: Settings, limiter: Limiter
) -> None:
    choose(settings, OneAnHour)
    for limit in (RateLimit.SEARCHES, RateLimit.BUNDLES):
        await admit(limiter, limit, ALICE)
        with pytest.raises(ConstructError) as refused:
            await admit(limiter, limit, ALICE)
        assert refused.value.code is ErrorCode.RATE_LIMIT_EXCEEDED
    await admit(limiter, RateLimit.CONTACTS, ALICE)
    await admit(limiter, RateLimit.CONTACTS, ALICE)
