"""Asking the policy: loading the class that ``CONSTRUCT_POLICY`` names, and acting on its verdicts.

A policy that fails lets nobody do anything: the fault is logged, and the client is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from inspect import isabstract, iscoroutinefunction
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from accounts.policy import (
    ALLOW,
    Account,
    Allow,
    AllowAtMost,
    FetchFacts,
    LogInFacts,
    Policy,
    Refuse,
    SearchFacts,
)
from construct_site.checks import OF_A_PART
from construct_site.env import variable
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import Limiter, RateLimit
from construct_site.logs import describe_error

log = structlog.get_logger(__name__)
Facts = TypeVar("Facts")


def get_policy() -> Policy:
    """The policy of this process, made at the first call. Raises ``ImproperlyConfigured``."""
    return _load(settings.CONSTRUCT.policy)


@cache
def _load(path: str) -> Policy:
    name = variable("policy")
    try:
        found = import_string(path)
    except Exception as error:
        raise ImproperlyConfigured(
            f"{name} names a class that cannot be imported: {describe_error(error)}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise ImproperlyConfigured(f"{name} must name a class that derives from {Policy.__module__}.Policy.")
    if isabstract(found):
        raise ImproperlyConfigured(f"{name} names a class that does not answer everything.")
    if any(iscoroutinefunction(getattr(found, rule)) for rule in Policy.__abstractmethods__):
        raise ImproperlyConfigured(f"{name} names a class with an asynchronous method; they must be plain.")
    try:
        return found()
    except Exception as error:
        raise ImproperlyConfigured(
            f"{name} names a class that cannot be made: {describe_error(error)}."
        ) from error


@register(OF_A_PART)
def unusable_policy(app_configs: Sequence[Any] | None, **_options: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's signature
    try:
        get_policy()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="construct.E002")]
    return []


def judge(may: Callable[[Facts], object], facts: Facts) -> int | None:
    """Ask `may`, a method of the policy. Returns the hourly limit that it sets; None: the server's own holds.

    Raises ``ConstructError``: that of a refusal; SERVER_ERROR where the method raises anything or returns
    no verdict.
    """
    try:
        verdict = may(facts)
    except Exception as error:  # noqa: BLE001 - whatever an operator's class raises, nobody is let through
        raise _failed(facts, describe_error(error)) from None
    if verdict is ALLOW:
        return None
    match verdict:
        case Allow():
            return None
        case AllowAtMost(per_hour=int(per_hour)) if not isinstance(facts, LogInFacts):
            return per_hour
        case Refuse(code=ErrorCode() as code, text=text, retry_after_s=retry_after_s):
            raise ConstructError(code, text, retry_after_s=retry_after_s)
    raise _failed(facts, f"no verdict: {type(verdict).__name__}")


def _failed(facts: object, error: str) -> ConstructError:
    log.error("policy failed", asked=type(facts).__name__, error=error)
    return ConstructError(ErrorCode.SERVER_ERROR)


async def admit(limiter: Limiter, limit: RateLimit, account: Account) -> None:
    """Count one use of `limit` by the account, if the policy allows it, and within what it allows.

    For both edges, before a request is looked at. Raises ``ConstructError``: as :func:`judge`, and
    RATE_LIMIT_EXCEEDED.
    """
    policy, per_hour = get_policy(), None
    if limit is RateLimit.SEARCHES:
        per_hour = judge(policy.may_search, SearchFacts(time.time(), account))
    elif limit is RateLimit.BUNDLES:
        per_hour = judge(policy.may_fetch_bundle, FetchFacts(time.time(), account))
    await limiter.hit(limit, account.id, per_hour=per_hour)
