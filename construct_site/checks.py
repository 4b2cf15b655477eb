"""What this server refuses to run with. A safe default that production could weaken by accident is none."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from construct_site.bounds import PORT_MAX, number_problems
from construct_site.env import DEVELOPMENT_MARK, Config, variable
from construct_site.proxies import hold_everybody, read_networks

OF_A_PART = "construct"
"""Tag of checks with which an app keeps the server from starting. They look at the configuration alone."""
SECRET_KEY_CHARACTERS = 50
KEY_BYTES = 32
_DISTINCT_BYTES = 16
"""32 random bytes have about 30 different values; fewer than this were typed, not drawn."""
_DISTINCT_CHARACTERS = 10
"""Below what 50 random characters show, also in hexadecimal, which has only 16."""
_DISPENSABLE_KEYS = ("further_dedup_keys", "audit_keys")
_OWASP_ARGON2ID = ((46 * 1024, 1), (19 * 1024, 2), (12 * 1024, 3), (9 * 1024, 4), (7 * 1024, 5))
"""KiB and passes that are equally strong (OWASP Password Storage Cheat Sheet, Argon2id, one lane)."""
_CONFIRM_WITHOUT_PONG_MIN_S = 60
"""A dead peer takes writes for about 50 s: what is younger is not known to have arrived."""
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)
_ADMIN_PATH = re.compile(r"([a-z0-9_-]+/)+")
_TAKEN_PATHS = ("api/", "static/", "ws/", "health/")
_ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://({_HOST_NAME.pattern})(:[0-9]+)?", re.IGNORECASE)
_ADMIN_ORIGIN = re.compile(rf"https://({_HOST_NAME.pattern}):[0-9]{{1,5}}", re.IGNORECASE)
_DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
_SQLITE_FULL = 2
_SQLITE_JOURNALS_IN_MEMORY = ("memory", "off")


def problems(config: Config) -> list[str]:
    """Why this configuration must not serve; empty when it may. Values are never quoted."""
    of_environment = _production_problems if config.production else _development_problems
    return [
        *_address_problems(config),
        *number_problems(config),
        *_admin_problems(config),
        *_key_shape_problems(config),
        *of_environment(config),
    ]


def refuse_unsafe(config: Config) -> None:
    """Raise ``ImproperlyConfigured`` with every problem at once."""
    if found := problems(config):
        raise ImproperlyConfigured(
            "This configuration is refused:\n" + "\n".join(f"  - {each}" for each in found)
        )


def refuse_unusable_parts() -> None:
    """Raise ``ImproperlyConfigured`` with what the apps' own checks find, those that have the tag :data:`OF_A_PART`."""
    if found := run_checks(tags=[OF_A_PART]):
        raise ImproperlyConfigured(
            "This configuration is refused:\n" + "\n".join(f"  - {each.msg}" for each in found)
        )


def refuse_forgetful_database() -> None:
    """Raise ``ImproperlyConfigured`` if the database may forget a commit: an ack would promise too much."""
    if unsafe := forgetful_settings():
        raise ImproperlyConfigured(
            f"The database would forget acknowledged messages: {', '.join(unsafe)} is off."
        )


def forgetful_settings() -> list[str]:
    """The database's settings under which it may forget a commit; empty as it must be. Raises ``django.db.Error``."""
    in_database = _unsafe_in_postgresql if connection.vendor == "postgresql" else _unsafe_in_sqlite
    return sorted(in_database())


def is_migrated() -> bool:
    """Whether every migration of this code was applied, for one query. Raises ``django.db.Error``."""
    return _known_migrations() <= MigrationRecorder(connection).applied_migrations().keys()


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)


def _unsafe_in_postgresql() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM pg_settings WHERE name = ANY(%s) AND setting = 'off'", [list(_DURABILITY)]
        )
        yield from (name for (name,) in cursor.fetchall())


def _unsafe_in_sqlite() -> Iterator[str]:
    with connection.cursor() as cursor:
        if cursor.execute("PRAGMA synchronous").fetchone()[0] < _SQLITE_FULL:
            yield "synchronous=FULL"
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] in _SQLITE_JOURNALS_IN_MEMORY:
            yield "a journal on disk"


@register()
def unsafe_configuration(app_configs: Sequence[Any] | None, **_options: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's signature
    return [Error(each, id="construct.E001") for each in problems(settings.CONSTRUCT)]


def _address_problems(config: Config) -> Iterator[str]:
    if config.redis_url and not config.redis_url.startswith(("redis://", "rediss://", "unix://")):
        yield f"{variable('redis_url')} must begin with redis://, rediss:// or unix:// (also for Valkey)."
    if not all(_ORIGIN.fullmatch(origin) for origin in config.origins):
        yield f"{variable('origins')} must hold origins such as https://chat.example, without a path."
    yield from _proxy_problems(config)


def _proxy_problems(config: Config) -> Iterator[str]:
    name = variable("trusted_proxies")
    try:
        networks = read_networks(tuple(config.trusted_proxies))
    except ValueError:
        yield f"{name} must hold addresses and networks such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/64."
    else:
        if config.production and hold_everybody(networks):
            yield f"{name} must not hold every address: anybody could then write where they come from."


def _admin_problems(config: Config) -> Iterator[str]:
    path = config.admin_path
    if not _ADMIN_PATH.fullmatch(path):
        yield f"{variable('admin_path')} must be words of a-z, 0-9, _ and -, each with a slash behind it: desk/."
    elif path.startswith(_TAKEN_PATHS):
        yield f"{variable('admin_path')} must not begin with {', '.join(_TAKEN_PATHS)}: that is taken."
    hosts = {host.lower() for host in config.hosts}
    origins = [_ADMIN_ORIGIN.fullmatch(origin) for origin in config.admin_origins]
    if not all(origin and origin[1].lower() in hosts for origin in origins):
        yield (
            f"{variable('admin_origins')} must hold origins with https and a port, such as https://chat.example:8443, "
            f"of hosts that are in {variable('hosts')}."
        )
    try:
        address = config.admin_address
    except ValueError:
        yield f"{variable('admin_listen')} must be an address and a port, such as 127.0.0.1:3001."
        return
    if address is None:
        return
    host, port = address
    if not 0 < port <= PORT_MAX:
        yield f"{variable('admin_listen')} must hold a port from 1 to {PORT_MAX}."
    if port == config.port:
        yield f"{variable('admin_listen')} must have another port than {variable('port')}."
    if not config.production and not is_loopback(host) and not config.expose_development:
        yield f"{variable('admin_listen')} is not a loopback address; say {variable('expose_development')}=yes."


def _keys(config: Config) -> dict[str, list[str]]:
    """The keys of 32 bytes by field, as they were given."""
    return {
        "mailbox_keys": config.mailbox_keys,
        "dedup_key": [config.dedup_key] if config.dedup_key else [],
        "further_dedup_keys": config.further_dedup_keys,
        "audit_keys": config.audit_keys,
    }


def _key_shape_problems(config: Config) -> Iterator[str]:
    """Keys that nothing can be encrypted with."""
    for field, texts in _keys(config).items():
        if any(text and _key(text) is None for text in texts):
            yield f"{variable(field)} holds a key that is not base64 of {KEY_BYTES} bytes."


def _production_problems(config: Config) -> Iterator[str]:
    yield from _secret_key_problems(config.secret_key)
    for field, texts in _keys(config).items():
        yield from _key_problems(field, texts)
    yield from _shared_key_problems(config)
    yield from _host_problems(config.hosts)
    if not config.limits_on and not config.limits_off_confirmed:
        confirmation = f"{variable('limits_off_confirmed')}=yes"
        yield f"{variable('limits')}=off lifts every limit; say {confirmation} if that is meant."
    if not config.limits_on and config.registration == "open":
        yield (
            f"{variable('registration')}=open takes accounts without number while {variable('limits')}=off; "
            "choose another mode."
        )
    if not config.requires_second_factor and not config.staff_second_factor_confirmed:
        confirmation = f"{variable('staff_second_factor_confirmed')}=yes"
        yield (
            f"{variable('staff_second_factor')} lets staff sign in with a password alone; "
            f"say {confirmation} if that is meant."
        )
    memory_kib, passes = config.password_hash_memory_kib, config.password_hash_passes
    if not any(memory_kib >= memory and passes >= count for memory, count in _OWASP_ARGON2ID):
        yield (
            f"{variable('password_hash_memory_kib')} with {variable('password_hash_passes')} "
            "is weaker than OWASP's least for Argon2id: 19456 with 2."
        )
    if config.confirm_without_pong_s < _CONFIRM_WITHOUT_PONG_MIN_S:
        yield (
            f"{variable('confirm_without_pong_s')} must be at least {_CONFIRM_WITHOUT_PONG_MIN_S}: "
            "before that a written message may not have arrived."
        )


def _secret_key_problems(key: str) -> Iterator[str]:
    name = variable("secret_key")
    if not key:
        yield f"{name} is missing: at least {SECRET_KEY_CHARACTERS} random characters."
    elif DEVELOPMENT_MARK.decode() in key or key.startswith("django-insecure-"):
        yield f"{name} is a development key."
    elif len(key) < SECRET_KEY_CHARACTERS or len(set(key)) < _DISTINCT_CHARACTERS:
        yield f"{name} is weak: at least {SECRET_KEY_CHARACTERS} random characters."


def _key_problems(field: str, texts: Sequence[str]) -> Iterator[str]:
    name = variable(field)
    if not texts and field not in _DISPENSABLE_KEYS:
        yield f"{name} is missing: base64 of {KEY_BYTES} random bytes."
    for key in filter(None, map(_key, texts)):
        if key.startswith(DEVELOPMENT_MARK):
            yield f"{name} holds a development key."
        elif len(set(key)) < _DISTINCT_BYTES:
            yield f"{name} holds a weak key: base64 of {KEY_BYTES} random bytes."


def _shared_key_problems(config: Config) -> Iterator[str]:
    """One key with two uses: who learns it for one has the other, and a rotation to itself is none."""
    keys = {field: set(filter(None, map(_key, texts))) for field, texts in _keys(config).items()}
    for field in ("dedup_key", "further_dedup_keys"):
        if keys[field] & keys["mailbox_keys"]:
            yield f"{variable(field)} must not be a mailbox key as well."
    if keys["audit_keys"] & (keys["mailbox_keys"] | keys["dedup_key"] | keys["further_dedup_keys"]):
        yield f"{variable('audit_keys')} must not hold a key that has another use."
    if keys["dedup_key"] & keys["further_dedup_keys"]:
        yield f"{variable('further_dedup_keys')} must not hold the current dedup key."


def _key(text: str) -> bytes | None:
    """The key; None unless the text is base64 of exactly 32 bytes."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def _host_problems(hosts: Sequence[str]) -> Iterator[str]:
    name = variable("hosts")
    if not hosts:
        yield f"{name} is missing: the names under which clients reach this server."
    # To Django a leading dot means every name below.
    if any("*" in host or host.startswith(".") for host in hosts):
        yield f"{name} must not hold a wildcard."
    elif not all(_HOST_NAME.fullmatch(host) for host in hosts):
        yield f"{name} must hold plain names, without scheme, port or path."


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
