"""Who may do what: the one place where the server asks, and where an operator answers otherwise.

A policy is asked before anything is done or stored, and takes metadata alone: ids, sizes, states, times and the
peer's address group; never content, passwords or keys. It answers :class:`Allow`, :class:`Refuse` or
:class:`AllowAtMost`. ``CONSTRUCT_POLICY`` names its class; :mod:`accounts.judgement` loads and asks it.

Its methods are plain functions and must be fast. ``may_send`` and ``may_register`` run in the event loop, where
everybody waits for them: no look at a database, no file, no network. All may run in several threads at once.
What a method raises counts as a refusal, with SERVER_ERROR.

Worked example: docs/policy.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from uuid import UUID

import msgspec

from construct_site.errors import ErrorCode

# Verdicts


class Allow(msgspec.Struct, frozen=True):
    """It may be done, within the server's limits."""


class AllowAtMost(msgspec.Struct, frozen=True):
    """It may be done so many times an hour, in the place of the server's hourly limit, be that lower or higher.

    Of messages, bundle fetches and searches the account's are counted, of registrations the address's. Limits
    of a minute or a day stay. ``CONSTRUCT_LIMITS=off`` lifts this one too.
    """

    per_hour: int


class Refuse(msgspec.Struct, frozen=True):
    """It may not be done; the client gets the error."""

    code: ErrorCode
    text: str | None = None
    """In the place of the table's sentence. Shown to the client."""
    retry_after_s: float | None = None
    """After so many seconds the same request can succeed, where known."""


Verdict = Allow | AllowAtMost | Refuse
ALLOW = Allow()


def strictest(first: Verdict, *further: Verdict) -> Verdict:
    """The first refusal, else the lowest limit, else ALLOW."""
    verdicts = (first, *further)
    for verdict in verdicts:
        if isinstance(verdict, Refuse):
            return verdict
    limits = [verdict.per_hour for verdict in verdicts if isinstance(verdict, AllowAtMost)]
    return AllowAtMost(min(limits)) if limits else ALLOW


# Metadata. Structs rather than dataclasses: one is made for every message, at a fifth of the time.


class Account(msgspec.Struct, frozen=True):
    """Who asks, as of their log-in and the changes that the server has heard of since: at most 10 s old."""

    id: UUID
    created_at: datetime
    is_approved: bool = True
    """False: it waits for a moderator."""
    messages_per_hour: int | None = None
    """Of this account alone; 0: it may not send; None: as the server's."""

    def age_s(self, at: float) -> float:
        """Its age at a time in Unix seconds."""
        return at - self.created_at.timestamp()


class SuspensionNotice(msgspec.Struct, frozen=True):
    """A suspension in force, as its owner is told of it."""

    text: str
    ends_in_s: float | None
    """None: it has no end."""


class RegistrationFacts(msgspec.Struct, frozen=True):
    """Somebody wants an account. The username is as they gave it: nothing has judged it yet."""

    at: float
    """Unix seconds."""
    mode: str
    """``CONSTRUCT_REGISTRATION``."""
    username: str
    address: str
    """An IPv4 address, the /64 of an IPv6 address, or ``unknown``."""
    has_invite: bool
    """A code was given; whether it is good is found out later, and only where the mode asks for one."""


class LogInFacts(msgspec.Struct, frozen=True):
    """Who has proved who they are opens a session, also the first one of a new account, or goes on with one."""

    at: float
    """Unix seconds."""
    account: Account
    address: str
    """An IPv4 address, the /64 of an IPv6 address, or ``unknown``."""
    is_resume: bool
    """By the token of a session: `connect`, and every request over REST."""
    suspension: SuspensionNotice | None
    must_reset_password: bool


class SendingFacts(msgspec.Struct, frozen=True):
    """Somebody wants to send a message. Nobody has looked yet whether there is such a recipient."""

    at: float
    """Unix seconds."""
    account: Account
    recipient_id: UUID
    size: int
    """Characters of the encrypted content, in base64."""


class SearchFacts(msgspec.Struct, frozen=True):
    """Somebody wants to search for people."""

    at: float
    """Unix seconds."""
    account: Account


class FetchFacts(msgspec.Struct, frozen=True):
    """Somebody wants a bundle of keys."""

    at: float
    """Unix seconds."""
    account: Account


# Policies


class Policy(ABC):
    """What every policy answers. Derive from :class:`DefaultPolicy` unless its rules are to be given up.

    Out of any policy's reach are what the storing statement of the mailbox judges (blocks, message requests, full
    mailboxes, recipients that wait for approval), since only there they are of the same moment as the row
    (docs/delivery.md), and the end of a suspended account's sockets.
    """

    @abstractmethod
    def may_register(self, facts: RegistrationFacts) -> Verdict: ...

    @abstractmethod
    def may_log_in(self, facts: LogInFacts) -> Allow | Refuse: ...

    @abstractmethod
    def may_send(self, facts: SendingFacts) -> Verdict:
        """Asked for each message, before the message limits and before it is stored."""

    @abstractmethod
    def may_search(self, facts: SearchFacts) -> Verdict: ...

    @abstractmethod
    def may_fetch_bundle(self, facts: FetchFacts) -> Verdict: ...


class DefaultPolicy(Policy):
    """The server's own rules: the registration modes, suspensions and password resets, approval, accounts' limits.

    Blocks and message requests it leaves to the mailbox, as every policy does.
    """

    def may_register(self, facts: RegistrationFacts) -> Verdict:
        if facts.mode == "closed":
            return Refuse(ErrorCode.REGISTRATION_CLOSED)
        if facts.mode == "invite" and not facts.has_invite:
            return Refuse(ErrorCode.INVITE_REQUIRED)
        return ALLOW

    def may_log_in(self, facts: LogInFacts) -> Allow | Refuse:
        if suspension := facts.suspension:
            return Refuse(ErrorCode.ACCOUNT_SUSPENDED, suspension.text, suspension.ends_in_s)
        if facts.must_reset_password and not facts.is_resume:
            return Refuse(ErrorCode.PASSWORD_RESET_REQUIRED)
        return ALLOW

    def may_send(self, facts: SendingFacts) -> Verdict:
        account = facts.account
        if not account.is_approved:
            return Refuse(ErrorCode.ACCOUNT_PENDING)
        if account.messages_per_hour is None:
            return ALLOW
        if account.messages_per_hour == 0:
            return Refuse(ErrorCode.FORBIDDEN, "This account may not send messages.")
        return AllowAtMost(account.messages_per_hour)

    def may_search(self, facts: SearchFacts) -> Verdict:  # noqa: ARG002 - for those who derive
        return ALLOW

    def may_fetch_bundle(self, facts: FetchFacts) -> Verdict:  # noqa: ARG002 - for those who derive
        return ALLOW
