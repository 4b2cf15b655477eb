"""The table of rate limits. The amounts are configuration, the periods are the contract's (section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from construct_site.env import Config

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86400


class RateLimit(StrEnum):
    """What is limited. ``REGISTRATIONS`` is counted for an address, the others for a user."""

    MESSAGES = "messages"
    ROTATIONS = "rotations"
    SEARCHES = "searches"
    BUNDLES = "bundles"
    CONTACTS = "contacts"
    REPORTS = "reports"
    EXPORTS = "exports"
    REGISTRATIONS = "registrations"


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most `amount` in any stretch of `period_s` seconds."""

    amount: int
    period_s: int


@dataclass(frozen=True, slots=True)
class Row:
    """`noun` stands in the sentence "Too many … ."; `allowances` must all have room."""

    noun: str
    allowances: Callable[[Config], tuple[Allowance, ...]]
    is_by_address: bool = False


TABLE: dict[RateLimit, Row] = {
    RateLimit.MESSAGES: Row("messages", lambda config: (Allowance(config.messages_per_hour, HOUR_S),)),
    RateLimit.ROTATIONS: Row("key rotations", lambda config: (Allowance(config.rotations_per_day, DAY_S),)),
    RateLimit.SEARCHES: Row(
        "searches",
        lambda config: (
            Allowance(config.searches_per_minute, MINUTE_S),
            Allowance(config.searches_per_day, DAY_S),
        ),
    ),
    RateLimit.BUNDLES: Row("key requests", lambda config: (Allowance(config.bundles_per_hour, HOUR_S),)),
    RateLimit.CONTACTS: Row(
        "requests about contacts", lambda config: (Allowance(config.contact_requests_per_hour, HOUR_S),)
    ),
    RateLimit.REPORTS: Row("reports", lambda config: (Allowance(config.reports_per_day, DAY_S),)),
    RateLimit.EXPORTS: Row("exports", lambda config: (Allowance(config.exports_per_day, DAY_S),)),
    RateLimit.REGISTRATIONS: Row(
        "registrations from this address",
        lambda config: (Allowance(config.registrations_per_hour, HOUR_S),),
        is_by_address=True,
    ),
}

if missing := set(RateLimit) - set(TABLE):
    raise ImportError(f"rate limits without a row: {sorted(missing)}")
