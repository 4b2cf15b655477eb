"""The default policy: the server's own rules, one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from accounts.policy import (
    ALLOW,
    Account,
    AllowAtMost,
    DefaultPolicy,
    FetchFacts,
    LogInFacts,
    Refuse,
    RegistrationFacts,
    SearchFacts,
    SendingFacts,
    SuspensionNotice,
    Verdict,
    strictest,
)
from construct_site.errors import ErrorCode

pytestmark = pytest.mark.pure
NOON = 1_800_000_000.0
ALICE = Account(uuid4(), datetime.fromtimestamp(NOON - 90, UTC))
POLICY = DefaultPolicy()
SUSPENDED = SuspensionNotice("This account is suspended until tomorrow.", 3600.0)


def account(**changes: Any) -> Account:
    return msgspec.structs.replace(ALICE, **changes)


@pytest.mark.parametrize(
    ("mode", "has_invite", "verdict"),
    [
        ("open", False, ALLOW),
        ("approval", False, ALLOW),
        ("invite", True, ALLOW),
        ("invite", False, Refuse(ErrorCode.INVITE_REQUIRED)),
        ("closed", True, Refuse(ErrorCode.REGISTRATION_CLOSED)),
    ],
)
def test_who_may_register(mode: str, has_invite: bool, verdict: Verdict) -> None:
    facts = RegistrationFacts(NOON, mode, "alice", "192.0.2.7", has_invite)
    assert POLICY.may_register(facts) == verdict


@pytest.mark.parametrize(
    ("is_resume", "suspension", "must_reset", "verdict"),
    [
        (False, None, False, ALLOW),
        (True, None, True, ALLOW),
        (False, None, True, Refuse(ErrorCode.PASSWORD_RESET_REQUIRED)),
        (True, SUSPENDED, False, Refuse(ErrorCode.ACCOUNT_SUSPENDED, SUSPENDED.text, 3600.0)),
        (False, SUSPENDED, True, Refuse(ErrorCode.ACCOUNT_SUSPENDED, SUSPENDED.text, 3600.0)),
    ],
)
def test_who_may_log_in(
    is_resume: bool, suspension: SuspensionNotice | None, must_reset: bool, verdict: Verdict
) -> None:
    facts = LogInFacts(NOON, ALICE, "192.0.2.7", is_resume, suspension, must_reset)
    assert POLICY.may_log_in(facts) == verdict


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, ALLOW),
        ({"messages_per_hour": 7}, AllowAtMost(7)),
        ({"messages_per_hour": 0}, Refuse(ErrorCode.FORBIDDEN, "This account may not send messages.")),
        ({"is_approved": False, "messages_per_hour": 7}, Refuse(ErrorCode.ACCOUNT_PENDING)),
    ],
)
def test_who_may_send(changes: dict[str, Any], verdict: Verdict) -> None:
    assert POLICY.may_send(SendingFacts(NOON, account(**changes), uuid4(), 100)) == verdict


def test_everybody_may_search_and_fetch_bundles() -> None:
    pending = account(is_approved=False, messages_per_hour=0)
    assert POLICY.may_search(SearchFacts(NOON, pending)) == ALLOW
    assert POLICY.may_fetch_bundle(FetchFacts(NOON, pending)) == ALLOW


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([ALLOW], ALLOW),
        ([ALLOW, ALLOW], ALLOW),
        ([ALLOW, AllowAtMost(5)], AllowAtMost(5)),
        ([AllowAtMost(5), AllowAtMost(3), ALLOW], AllowAtMost(3)),
        (
            [AllowAtMost(0), Refuse(ErrorCode.FORBIDDEN), Refuse(ErrorCode.NOT_FOUND)],
            Refuse(ErrorCode.FORBIDDEN),
        ),
    ],
)
def test_the_strictest_verdict_holds(verdicts: list[Verdict], verdict: Verdict) -> None:
    assert strictest(*verdicts) == verdict


def test_an_account_tells_its_age() -> None:
    assert ALICE.age_s(NOON) == 90
