"""Policies that tests name by their dotted path, and what cannot be one."""

# Methods of a contract take what they are given.
# ruff: noqa: ARG002

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from pytest_django import Settings

from accounts.policy import (
    ALLOW,
    Allow,
    AllowAtMost,
    DefaultPolicy,
    FetchFacts,
    LogInFacts,
    Policy,
    Refuse,
    RegistrationFacts,
    SearchFacts,
    SendingFacts,
    Verdict,
)
from construct_site.errors import ErrorCode

SECRET = "what the client sent"
REFUSED = Refuse(ErrorCode.FORBIDDEN, "Not here.")
UNWANTED = UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77")


def choose(settings: Settings, policy: type[object] | str) -> None:
    path = policy if isinstance(policy, str) else f"{policy.__module__}.{policy.__name__}"
    settings.CONSTRUCT = replace(settings.CONSTRUCT, policy=path)


class Strict(DefaultPolicy):
    """Refuses, each in a case of its own."""

    def may_register(self, facts: RegistrationFacts) -> Verdict:
        return REFUSED if facts.username == "mallory" else super().may_register(facts)

    def may_log_in(self, facts: LogInFacts) -> Allow | Refuse:
        return REFUSED if facts.address == "203.0.113.66" else super().may_log_in(facts)

    def may_send(self, facts: SendingFacts) -> Verdict:
        return REFUSED if facts.recipient_id == UNWANTED or facts.size > 1000 else super().may_send(facts)

    def may_search(self, facts: SearchFacts) -> Verdict:
        return REFUSED

    def may_fetch_bundle(self, facts: FetchFacts) -> Verdict:
        return REFUSED


class OneAnHour(DefaultPolicy):
    def may_register(self, facts: RegistrationFacts) -> Verdict:
        return AllowAtMost(1)

    def may_send(self, facts: SendingFacts) -> Verdict:
        return AllowAtMost(1)

    def may_search(self, facts: SearchFacts) -> Verdict:
        return AllowAtMost(1)

    def may_fetch_bundle(self, facts: FetchFacts) -> Verdict:
        return AllowAtMost(1)


class Permissive(Policy):
    """Gives up every rule of the default policy."""

    def may_register(self, facts: RegistrationFacts) -> Verdict:
        return ALLOW

    def may_log_in(self, facts: LogInFacts) -> Allow | Refuse:
        return ALLOW

    def may_send(self, facts: SendingFacts) -> Verdict:
        return ALLOW

    def may_search(self, facts: SearchFacts) -> Verdict:
        return ALLOW

    def may_fetch_bundle(self, facts: FetchFacts) -> Verdict:
        return ALLOW


class Faulty(DefaultPolicy):
    """Raises for sending, and gives no verdict for the rest but the log-in."""

    def may_register(self, facts: RegistrationFacts) -> Any:
        return True

    def may_send(self, facts: SendingFacts) -> Verdict:
        raise KeyError(SECRET)

    def may_search(self, facts: SearchFacts) -> Any:
        return None

    def may_fetch_bundle(self, facts: FetchFacts) -> Any:
        return AllowAtMost("5")  # type: ignore[arg-type] # as an operator's untyped class would


class LimitsLogIns(DefaultPolicy):
    """A limit where none can be."""

    def may_log_in(self, facts: LogInFacts) -> Any:
        return AllowAtMost(5)


class Unrelated:
    """No policy."""


class Unfinished(Policy):
    """Leaves everything out."""


class Asynchronous(DefaultPolicy):
    async def may_send(self, facts: SendingFacts) -> Verdict:  # type: ignore[override]
        return ALLOW


class CannotBeMade(DefaultPolicy):
    def __init__(self) -> None:
        raise OSError(SECRET)
