"""The table of metrics: what the server counts about itself, by the hour. None is of a user or an address. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Kind(Enum):
    """What a metric's value of an hour is."""

    SUM = auto()
    """How often something happened: all processes add to it."""
    HIGHEST = auto()
    """The highest of the hour's readings. One process reads for all."""
    LAST = auto()
    """The last of the hour's readings."""
    TIMES = auto()
    """How often something took how long: a sum for each class of :data:`BOUNDS_S`."""


class Metric(StrEnum):
    """The word under which the rows of a metric stand: at most 32 characters, and never another's later."""

    # That of StrEnum is written in Python; this one is asked for each message.
    __hash__ = str.__hash__

    REGISTRATIONS = "registrations"
    LOGINS = "logins"
    FAILED_LOGINS = "failed_logins"
    ACTIVE_USERS = "active_users"
    CONNECTIONS = "connections"
    MESSAGES_RELAYED = "messages_relayed"
    MESSAGES_WAITING = "messages_waiting"
    MESSAGES_EXPIRED = "messages_expired"
    DELIVERY_TIME = "delivery_time"
    OPEN_REPORTS = "open_reports"
    STALE_PREKEYS = "stale_prekeys"


@dataclass(frozen=True, slots=True)
class Row:
    """`text` is one line for who reads the figure."""

    kind: Kind
    text: str


TABLE: dict[Metric, Row] = {
    Metric.REGISTRATIONS: Row(
        Kind.SUM, "Accounts that people registered; those that commands made are not among them."
    ),
    Metric.LOGINS: Row(
        Kind.SUM, "Logins with name and password; resumed sessions and sign-ins to the admin are none."
    ),
    Metric.FAILED_LOGINS: Row(
        Kind.SUM,
        "Wrong passwords, those at the admin too, wrong reset codes and wrong codes of a second factor; attempts that "
        "a limit refused unseen are not among them.",
    ),
    Metric.ACTIVE_USERS: Row(
        Kind.HIGHEST,
        "Accounts that logged in, resumed a session or used REST since midnight UTC, read every 10 minutes; a "
        "connection that was opened the day before makes none.",
    ),
    Metric.CONNECTIONS: Row(
        Kind.HIGHEST,
        "Authenticated sockets of all processes at once, as each told within two minutes; read every minute.",
    ),
    Metric.MESSAGES_RELAYED: Row(
        Kind.SUM, "Messages that were stored for a recipient; the same one sent again counts once."
    ),
    Metric.MESSAGES_WAITING: Row(
        Kind.LAST, "Messages in the mailboxes, message requests too, read every 10 minutes."
    ),
    Metric.MESSAGES_EXPIRED: Row(Kind.SUM, "Messages that nobody fetched within their life."),
    Metric.DELIVERY_TIME: Row(
        Kind.TIMES,
        "From when a message reached the process with a connection of its recipient until that client confirmed it, "
        "for each connection; what waited in the mailbox first is not measured, nor what a blocked sender wrote.",
    ),
    Metric.OPEN_REPORTS: Row(Kind.LAST, "Reports that wait for a moderator, read every minute."),
    Metric.STALE_PREKEYS: Row(
        Kind.LAST, "Accounts whose signed prekey should have been rotated by now, read every 10 minutes."
    ),
}

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the classes of times, in seconds; one more class has what took longer. Rows name them by position."""


def buckets(metric: Metric) -> int:
    """How many rows a metric has in an hour, at most."""
    return len(BOUNDS_S) + 1 if TABLE[metric].kind is Kind.TIMES else 1


if missing := set(Metric) - set(TABLE):
    raise ImportError(f"metrics without a row: {sorted(missing)}")
