"""What this server refuses to run with. A safe default that production could weaken by accident is none."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from construct_site.env import DEVELOPMENT_MARK, Config, variable

SECRET_KEY_CHARACTERS = 50
KEY_BYTES = 32
_DISTINCT = 16
"""Fewer different characters or bytes than this were typed, not drawn."""
_DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")


def problems(config: Config) -> list[str]:
    """Why this configuration must not serve; empty when it may. Values are never quoted."""
    of_environment = _production_problems if config.production else _development_problems
    return [*_address_problems(config), *of_environment(config)]


def refuse_unsafe(config: Config) -> None:
    """Raise ``ImproperlyConfigured`` with every problem at once."""
    if found := problems(config):
        raise ImproperlyConfigured(
            "This configuration is refused:\n" + "\n".join(f"  - {each}" for each in found)
        )


def refuse_forgetful_database() -> None:
    """Raise ``ImproperlyConfigured`` if PostgreSQL may forget a commit: an ack would promise too much."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM pg_settings WHERE name = ANY(%s) AND setting = 'off'", [list(_DURABILITY)]
        )
        if off := sorted(name for (name,) in cursor.fetchall()):
            raise ImproperlyConfigured(
                f"PostgreSQL would forget acknowledged messages: {', '.join(off)} is off."
            )


@register()
def unsafe_configuration(app_configs: Sequence[Any] | None, **_options: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's signature
    return [Error(each, id="construct.E001") for each in problems(settings.CONSTRUCT)]


def _address_problems(config: Config) -> Iterator[str]:
    if config.redis_url and not config.redis_url.startswith(("redis://", "rediss://", "unix://")):
        yield f"{variable('redis_url')} must begin with redis://, rediss:// or unix:// (also for Valkey)."


def _production_problems(config: Config) -> Iterator[str]:
    yield from _secret_key_problems(config.secret_key)
    if not config.mailbox_keys:
        yield f"{variable('mailbox_keys')} is missing: base64 of 32 random bytes."
    for key in config.mailbox_keys:
        yield from _key_problems("mailbox_keys", key)
    if config.dedup_key:
        yield from _key_problems("dedup_key", config.dedup_key)
    else:
        yield f"{variable('dedup_key')} is missing: base64 of 32 random bytes."
    if config.dedup_key in config.mailbox_keys:
        yield f"{variable('dedup_key')} must not be a mailbox key as well."
    if not config.hosts:
        yield f"{variable('hosts')} is missing: the names under which clients reach this server."
    if any("*" in host for host in config.hosts):
        yield f"{variable('hosts')} must not hold a wildcard."
    if not config.limits_on and not config.limits_off_confirmed:
        yield f"{variable('limits')}=off lifts every limit; say {variable('limits_off_confirmed')}=yes if that is meant."


def _secret_key_problems(key: str) -> Iterator[str]:
    name = variable("secret_key")
    if not key:
        yield f"{name} is missing: at least {SECRET_KEY_CHARACTERS} random characters."
    elif DEVELOPMENT_MARK.decode() in key:
        yield f"{name} is a development key."
    elif len(key) < SECRET_KEY_CHARACTERS or len(set(key)) < _DISTINCT:
        yield f"{name} is weak: at least {SECRET_KEY_CHARACTERS} random characters."


def _key_problems(field: str, text: str) -> Iterator[str]:
    name = variable(field)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        yield f"{name} holds a key that is not base64."
        return
    if key.startswith(DEVELOPMENT_MARK):
        yield f"{name} holds a development key."
    elif len(key) != KEY_BYTES or len(set(key)) < _DISTINCT:
        yield f"{name} holds a weak key: base64 of 32 random bytes."


def _development_problems(config: Config) -> Iterator[str]:
    if not is_loopback(config.host) and not config.expose_development:
        yield (
            f"{variable('host')} is not a loopback address, and development keys and limits are not for the world; "
            f"say {variable('expose_development')}=yes if that is meant."
        )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
