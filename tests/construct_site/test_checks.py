"""What the server refuses to run with, and that a refusal names the variable and never its value."""

from __future__ import annotations

import base64
import gc
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from pytest_django import Settings

from construct_site import bounds, checks
from construct_site.env import Config, development_key, variable


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def key() -> str:
    return encoded(secrets.token_bytes(32))


SHARED = key()
HEXADECIMAL = "0123456789" * 7
"""Ten different characters: 64 random hexadecimal digits show more."""


def production(**changes: Any) -> Config:
    """A configuration that production takes, with changes."""
    config = Config(
        environment="production",
        secret_key=secrets.token_urlsafe(64),
        mailbox_keys=[key(), key()],
        dedup_key=key(),
        hosts=["chat.example", "192.0.2.7", "[2001:db8::7]"],
    )
    return replace(config, **changes)


def development(**changes: Any) -> Config:
    return replace(Config(environment="development"), **changes)


UNSAFE_IN_PRODUCTION: dict[str, tuple[dict[str, Any], str]] = {
    "registrations without number": ({"limits": "off", "limits_off_confirmed": True}, "registration"),
    "work in the place of a limit": (
        {"limits": "off", "limits_off_confirmed": True, "registration_work_bits": 28},
        "registration",
    ),
    "no signing key": ({"secret_key": ""}, "secret_key"),
    "a short signing key": ({"secret_key": secrets.token_urlsafe(30)}, "secret_key"),
    "a monotonous signing key": ({"secret_key": "hidden-123" * 9 + "hidden"}, "secret_key"),
    "a development signing key": (
        {"secret_key": "development-only-" + secrets.token_urlsafe(48)},
        "secret_key",
    ),
    "a signing key made by startproject": (
        {"secret_key": "django-insecure-" + secrets.token_urlsafe(48)},
        "secret_key",
    ),
    "no mailbox key": ({"mailbox_keys": []}, "mailbox_keys"),
    "a mailbox key that is not base64": ({"mailbox_keys": ["hidden!"]}, "mailbox_keys"),
    "a mailbox key beyond ASCII": ({"mailbox_keys": ["hidden-ключ"]}, "mailbox_keys"),
    "a mailbox key without its padding": ({"mailbox_keys": [key().rstrip("=")]}, "mailbox_keys"),
    "a short mailbox key": ({"mailbox_keys": [encoded(secrets.token_bytes(31))]}, "mailbox_keys"),
    "a long mailbox key": ({"mailbox_keys": [encoded(secrets.token_bytes(33))]}, "mailbox_keys"),
    "a monotonous mailbox key": (
        {"mailbox_keys": [encoded(b"hidden-hidden-hidden-hidden-hidd")]},
        "mailbox_keys",
    ),
    "a development mailbox key": ({"mailbox_keys": [encoded(development_key())]}, "mailbox_keys"),
    "an unsafe mailbox key in second place": ({"mailbox_keys": [key(), encoded(bytes(32))]}, "mailbox_keys"),
    "no dedup key": ({"dedup_key": ""}, "dedup_key"),
    "a dedup key that is not base64": ({"dedup_key": "hidden!"}, "dedup_key"),
    "a short dedup key": ({"dedup_key": encoded(secrets.token_bytes(16))}, "dedup_key"),
    "a monotonous dedup key": ({"dedup_key": encoded(bytes(32))}, "dedup_key"),
    "a development dedup key": ({"dedup_key": encoded(development_key())}, "dedup_key"),
    "a further dedup key that is not base64": (
        {"further_dedup_keys": [key(), "hidden!"]},
        "further_dedup_keys",
    ),
    "a short further dedup key": (
        {"further_dedup_keys": [encoded(secrets.token_bytes(16))]},
        "further_dedup_keys",
    ),
    "a monotonous further dedup key": ({"further_dedup_keys": [encoded(bytes(32))]}, "further_dedup_keys"),
    "an unsafe further dedup key in second place": (
        {"further_dedup_keys": [key(), encoded(development_key())]},
        "further_dedup_keys",
    ),
    "one key for mailbox and further dedup": (
        {"further_dedup_keys": [key(), SHARED], "mailbox_keys": [SHARED]},
        "further_dedup_keys",
    ),
    "the dedup key among the further ones": (
        {"dedup_key": SHARED, "further_dedup_keys": [SHARED]},
        "further_dedup_keys",
    ),
    "a short audit key": ({"audit_keys": [key(), encoded(secrets.token_bytes(16))]}, "audit_keys"),
    "a development audit key": ({"audit_keys": [encoded(development_key())]}, "audit_keys"),
    "an audit key that opens the mailbox": ({"audit_keys": [SHARED], "mailbox_keys": [SHARED]}, "audit_keys"),
    "an audit key that names messages": ({"audit_keys": [key(), SHARED], "dedup_key": SHARED}, "audit_keys"),
    "one key for both": ({"dedup_key": SHARED, "mailbox_keys": [key(), SHARED]}, "dedup_key"),
    "no host": ({"hosts": []}, "hosts"),
    "any host": ({"hosts": ["*"]}, "hosts"),
    "any host among others": ({"hosts": ["chat.example", "*"]}, "hosts"),
    "any host of a domain": ({"hosts": ["*.hidden.example"]}, "hosts"),
    "any host of a domain, in Django's spelling": ({"hosts": [".hidden.example"]}, "hosts"),
    "a host with a port": ({"hosts": ["hidden.example:443"]}, "hosts"),
    "a host with a scheme": ({"hosts": ["https://hidden.example"]}, "hosts"),
    "every address as a proxy's": ({"trusted_proxies": ["10.0.0.0/8", "0.0.0.0/0"]}, "trusted_proxies"),
    "every address of IPv6 as a proxy's": ({"trusted_proxies": ["::/0"]}, "trusted_proxies"),
    "every address in two halves": ({"trusted_proxies": ["0.0.0.0/1", "128.0.0.0/1"]}, "trusted_proxies"),
    "no limits": ({"limits": "off"}, "limits"),
    "staff with a password alone": ({"staff_second_factor": "optional"}, "staff_second_factor"),
    "too little memory for a password hash": (
        {"password_hash_memory_kib": 18 * 1024},
        "password_hash_memory_kib",
    ),
    "too few passes for a password hash": ({"password_hash_passes": 1}, "password_hash_passes"),
    "unconfirmed messages that soon count as received": (
        {"confirm_without_pong_s": 59.0},
        "confirm_without_pong_s",
    ),
}

UNWORKABLE: dict[str, tuple[dict[str, Any], str]] = {
    "a Redis address without a scheme": ({"redis_url": "hidden.example:6379"}, "redis_url"),
    "a Redis address with another scheme": ({"redis_url": "valkey://hidden.example"}, "redis_url"),
    "any origin": ({"origins": ["*"]}, "origins"),
    "the origin of no page": ({"origins": ["null"]}, "origins"),
    "an origin with a path": ({"origins": ["https://hidden.example/"]}, "origins"),
    "an origin without a scheme": ({"origins": ["https://fine.example", "hidden.example"]}, "origins"),
    "a proxy by its name": ({"trusted_proxies": ["10.1.0.0/16", "hidden.example"]}, "trusted_proxies"),
    "a network with host bits": ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies"),
    "a mailbox key that is no key": ({"mailbox_keys": ["hidden"]}, "mailbox_keys"),
    "a dedup key that is no key": ({"dedup_key": "hidden"}, "dedup_key"),
    "a further dedup key that is no key": ({"further_dedup_keys": ["hidden"]}, "further_dedup_keys"),
    "the admin everywhere": ({"admin_path": ""}, "admin_path"),
    "a path of the admin without its slash": ({"admin_path": "hidden"}, "admin_path"),
    "a path of the admin from the root": ({"admin_path": "/hidden/"}, "admin_path"),
    "a path of the admin with a pattern": ({"admin_path": "hidden.*/"}, "admin_path"),
    "the admin where REST is": ({"admin_path": "api/hidden/"}, "admin_path"),
    "the admin where its files are": ({"admin_path": "static/hidden/"}, "admin_path"),
    "a listener of the admin without a port": ({"admin_listen": "192.0.2.7"}, "admin_listen"),
    "a listener of the admin that is no address": ({"admin_listen": "127.0.0.1:hidden"}, "admin_listen"),
    "any port for the admin": ({"admin_listen": "127.0.0.1:0"}, "admin_listen"),
    "a port for the admin that is none": ({"admin_listen": "127.0.0.1:65536"}, "admin_listen"),
    "an origin of the admin without TLS": (
        {"hosts": ["fine.example"], "admin_origins": ["http://fine.example:8443"]},
        "admin_origins",
    ),
    "an origin of the admin with a path": (
        {"hosts": ["fine.example"], "admin_origins": ["https://fine.example:8443/hidden"]},
        "admin_origins",
    ),
    "an origin of the admin at any port": (
        {"hosts": ["fine.example"], "admin_origins": ["https://fine.example:*"]},
        "admin_origins",
    ),
    "an origin of the admin elsewhere": (
        {"hosts": ["fine.example"], "admin_origins": ["https://hidden.example:8443"]},
        "admin_origins",
    ),
    "any origin of the admin": ({"hosts": ["fine.example"], "admin_origins": ["*"]}, "admin_origins"),
    "one port for all": ({"admin_listen": "127.0.0.1:3000", "port": 3000}, "admin_listen"),
    "a port that is none": ({"port": 65536}, "port"),
    "a pause that is not a number": ({"housekeeping_s": float("nan")}, "housekeeping_s"),
    "a pause without an end": ({"heartbeat_s": float("inf")}, "heartbeat_s"),
    "a password hash without memory": ({"password_hash_memory_kib": 7}, "password_hash_memory_kib"),
    "work that nobody finishes": ({"registration_work_bits": 29}, "registration_work_bits"),
    "no time for work": ({"registration_work_s": 0}, "registration_work_s"),
    "frames that the transport refuses": ({"frame_bytes": 300 * 1024}, "frame_bytes"),
    "a first window above the last": ({"window_messages": 129}, "window_messages_max"),
    "a first window of more bytes than the last": ({"window_bytes": 2 * 1024 * 1024}, "window_bytes_max"),
}


def hidden_values(changes: dict[str, Any]) -> Iterator[str]:
    for value in changes.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and len(text) > len("off"):
                yield text


def assert_refused(config: Config, changes: dict[str, Any], name: str) -> None:
    found = checks.problems(config)
    assert found
    assert any(variable(name) in problem for problem in found)
    assert not [value for value in hidden_values(changes) for problem in found if value in problem]
    assert "hidden" not in " ".join(found)


def test_production_takes_a_good_configuration() -> None:
    assert checks.problems(production()) == []
    checks.refuse_unsafe(production())


@pytest.mark.parametrize("fault", UNSAFE_IN_PRODUCTION)
def test_production_refuses(fault: str) -> None:
    changes, name = UNSAFE_IN_PRODUCTION[fault]
    assert_refused(production(**changes), changes, name)


@pytest.mark.parametrize("host", ["*", "*.hidden.example", ".hidden.example"])
def test_a_wildcard_is_called_one(host: str) -> None:
    (problem,) = checks.problems(production(hosts=[host]))
    assert problem == "CONSTRUCT_HOSTS must not hold a wildcard."


@pytest.mark.parametrize("environment", [production, development])
@pytest.mark.parametrize("fault", UNWORKABLE)
def test_no_environment_takes(fault: str, environment: Any) -> None:
    changes, name = UNWORKABLE[fault]
    assert_refused(environment(**changes), changes, name)


@pytest.mark.parametrize("name", bounds.POSITIVE)
def test_zero_is_refused_where_nothing_works_with_it(name: str) -> None:
    assert any(
        f"{variable(name)} must be above 0" in problem
        for problem in checks.problems(development(**{name: 0}))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_key": secrets.token_hex(32)},
        {"secret_key": HEXADECIMAL},
        {"further_dedup_keys": [key()]},
        {"further_dedup_keys": [key(), key()]},
        {"limits": "off", "limits_off_confirmed": True, "registration": "closed"},
        {"staff_second_factor": "optional", "staff_second_factor_confirmed": True},
        {"staff_second_factor": "required"},
        {"admin_path": "back_office/desk-2/", "admin_listen": "[::1]:3001"},
        {"registrations_per_hour": 0},
        {"registration_work_bits": 28},
        {"host": "0.0.0.0"},  # noqa: S104 - production listens where it is told
        {"password_hash_memory_kib": 46 * 1024, "password_hash_passes": 1},
        {"password_hash_memory_kib": 7 * 1024, "password_hash_passes": 5},
        {"redis_url": "rediss://user:password@h:6379/0"},
        {"redis_url": "unix:///run/valkey.sock"},
        {"database_url": "postgres://h/d"},
        {
            "origins": [
                "https://chat.example",
                "https://chat.example:8443",
                "capacitor://localhost",
                "http://[::1]:5173",
            ]
        },
        {
            "hosts": ["Chat.example", "[::1]"],
            "admin_origins": ["https://chat.Example:8443", "https://[::1]:8443"],
        },
        {"port": 0, "drain_s": 0.0, "doorbell_s": 0.0},
        {"trusted_proxies": ["192.0.2.7", "10.0.0.0/8", "2001:db8::/64", "::1"]},
    ],
)
def test_production_takes(changes: dict[str, Any]) -> None:
    assert checks.problems(production(**changes)) == []


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        checks.refuse_unsafe(Config())
    for name in ("secret_key", "mailbox_keys", "dedup_key", "hosts"):
        assert f"  - {variable(name)} is missing" in str(refused.value)


def test_development_needs_no_keys_and_no_hosts() -> None:
    assert checks.problems(development()) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "chat.example", "", "127.0.0.1.example"])  # noqa: S104
def test_development_refuses_to_be_reached_from_elsewhere_unless_told_twice(host: str) -> None:
    (problem,) = checks.problems(development(host=host))
    assert problem.startswith("HOST ")
    assert "CONSTRUCT_EXPOSE_DEVELOPMENT" in problem
    assert checks.problems(development(host=host, expose_development=True)) == []


def test_development_shows_the_admin_to_nobody_elsewhere_unless_told_twice() -> None:
    (problem,) = checks.problems(development(admin_listen="0.0.0.0:3001"))
    assert problem.startswith("CONSTRUCT_ADMIN_LISTEN ")
    assert checks.problems(development(admin_listen="0.0.0.0:3001", expose_development=True)) == []


@pytest.mark.parametrize(
    ("environment", "word", "is_required"),
    [
        (production, "production", True),
        (production, "required", True),
        (production, "optional", False),
        (development, "production", False),
        (development, "required", True),
        (development, "optional", False),
    ],
)
def test_production_requires_a_second_factor_unless_told(
    environment: Any, word: str, is_required: bool
) -> None:
    assert environment(staff_second_factor=word).requires_second_factor is is_required


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_development_listens_on_loopback(host: str) -> None:
    assert checks.problems(development(host=host)) == []


def test_djangos_own_check_reports_the_same(settings: Settings) -> None:
    settings.CONSTRUCT = production(hosts=["*"])
    found = [each for each in django_checks.run_checks() if each.id == "construct.E001"]
    assert [each.msg for each in found] == checks.problems(django_settings.CONSTRUCT)
    assert all(each.is_serious() for each in found)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_syncs_each_commit_is_taken() -> None:
    checks.refuse_forgetful_database()


FORGETFUL = {
    "postgresql": [("SET synchronous_commit = off", "RESET synchronous_commit", "synchronous_commit")],
    "sqlite": [
        ("PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL", "synchronous=FULL"),
        ("PRAGMA journal_mode = MEMORY", "PRAGMA journal_mode = WAL", "a journal on disk"),
    ],
}
"""What makes our connection forget, what undoes it, and what the refusal names."""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("change", "undo", "named"), FORGETFUL[connection.vendor])
def test_a_database_that_may_forget_a_commit_is_refused(change: str, undo: str, named: str) -> None:
    # SQLite changes its journal where nobody else has the file open: not even threads of earlier tests, which are gone.
    gc.collect()
    with connection.cursor() as cursor:
        cursor.execute(change)
        try:
            with pytest.raises(ImproperlyConfigured, match=named):
                checks.refuse_forgetful_database()
        finally:
            cursor.execute(undo)
