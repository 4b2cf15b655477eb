"""The one configuration object. Nothing else reads ``os.environ``.

A field of :class:`Config` is one environment variable: ``HOST``, ``PORT``,
``DATABASE_URL`` and ``REDIS_URL`` under their own names, every other field as
``CONSTRUCT_`` and the field's name in capitals. Unknown ``CONSTRUCT_`` names are
refused, so a typing error never leaves a default in force unnoticed.

:func:`load` parses; :mod:`construct_site.checks` judges what is safe to run with.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

REPOSITORY = Path(__file__).resolve().parent.parent
PLAIN_NAMES = {"host": "HOST", "port": "PORT", "database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}
_WORDS = {
    "environment": ("production", "development"),
    "limits": ("on", "off"),
    "ack_presence": ("on", "off"),
    "registration": ("open", "invite", "approval", "closed"),
    "search": ("off", "exact", "substring"),
    "staff_second_factor": ("required", "optional", "production"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
}
DEFAULT_ADMIN_PATH = "admin/"
_DATABASES = ("postgresql://", "postgres://", "sqlite://")
_DEVELOPMENT_KEYS = "development-keys.json"
DEVELOPMENT_MARK = b"development-only"
"""The first 16 bytes of every key made for development: production recognises and refuses them."""


class InvalidConfiguration(Exception):
    """A variable has an unknown name or a value that cannot be read. The text names it, never its value."""


def _setting(default: Any, text: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"text": text, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything an operator can set, with its default. Sizes are in bytes, times in seconds, unless the name says."""

    # Where and how
    environment: str = _setting("production", "`production` or `development`.")
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(3000, "TCP port to listen on; 0 lets the system choose.")
    database_url: str = _setting(
        "", "PostgreSQL address; empty: SQLite under the data directory.", secret=True
    )
    redis_url: str = _setting("", "Redis or Valkey address; empty: one process, in memory.", secret=True)
    data_dir: Path = _setting(REPOSITORY / "var", "Directory of the SQLite file and the development keys.")
    hosts: list[str] = _setting(
        (), "Host names that requests may name; required in production, `*` is refused."
    )
    origins: list[str] = _setting(
        (), "Further web origins whose pages may open the socket (`https://chat.example`)."
    )
    trusted_proxies: list[str] = _setting(
        (),
        "Addresses and networks (`10.0.0.0/8`) of proxies whose `X-Forwarded-For` is believed; all others' is not.",
    )
    expose_development: bool = _setting(
        False, "Second of the two words that let development listen beyond loopback (the first is HOST)."
    )
    log_level: str = _setting("INFO", "Lowest level that is logged.")

    # What clients are told
    name: str = _setting("Construct", "Name of this server.")
    contact: str = _setting("", "How to reach who runs it: an address or a link.")
    terms_url: str = _setting("", "Link to the terms of use.")

    # Keys
    secret_key: str = _setting("", "Django's signing key: at least 50 characters, random.", secret=True)
    mailbox_keys: list[str] = _setting(
        (), "Base64 of 32 random bytes each; the first encrypts waiting messages, all decrypt.", secret=True
    )
    dedup_key: str = _setting("", "Base64 of 32 random bytes: keys the names of messages.", secret=True)
    further_dedup_keys: list[str] = _setting(
        (),
        "Base64 of 32 random bytes each: further dedup keys under which repeats are recognised: the former one "
        "for at least 48 h, and the next one before it is put to use.",
        secret=True,
    )
    audit_keys: list[str] = _setting(
        (),
        "Base64 of 32 random bytes each: the first seals the audit's entries, all verify them; without any, a key "
        "that follows from the secret key does.",
        secret=True,
    )

    # Accounts
    registration: str = _setting(
        "open",
        "Who may register: `open` (everybody), `invite` (who has a code of `manage.py make_invite`), `approval` "
        "(everybody; who was not approved yet cannot send) or `closed` (nobody).",
    )
    registration_work_bits: int = _setting(
        0,
        "Bits of proof of work that each registration brings while everybody may register; 0: none, at most 28. "
        "20 take a client about a million hashes, each further bit doubles it.",
    )
    registration_work_s: int = _setting(600, "Time in which such a challenge is to be solved and used.")
    search: str = _setting(
        "substring",
        "What a search finds people by: `substring` (a part of their username or display name), `exact` (their whole "
        "username) or `off` (nothing).",
    )
    session_s: int = _setting(30 * 86400, "Life of a session; slides at each `connect`.")
    sessions_per_user: int = _setting(
        100, "Live sessions of one user; a further login ends the one that was used longest ago."
    )
    ended_session_s: int = _setting(
        30 * 86400,
        "How long an ended session is kept: its address has an allowance of failed logins of its own.",
    )
    session_addresses: bool = _setting(
        True, "Keep each session's address, encrypted, and show it to the account's owner."
    )
    policy: str = _setting(
        "accounts.policy.DefaultPolicy",
        "Dotted path of the class that says who may register, log in, send, search and fetch keys (docs/policy.md).",
    )
    name_rest_s: int = _setting(
        90 * 86400, "Time in which nobody can take the name of a deleted account, or one that staff changed."
    )
    reset_code_s: int = _setting(24 * 3600, "Life of a password-reset code.")
    password_hash_memory_kib: int = _setting(19 * 1024, "Argon2id memory of one hash, in KiB.")
    password_hash_passes: int = _setting(2, "Argon2id passes.")
    password_hash_threads: int = _setting(2, "Hashes computed at the same time.")
    password_hash_queue: int = _setting(64, "Hashes that may wait; beyond it SERVER_BUSY.")
    contacts_per_user: int = _setting(5000, "People whom one user may accept, and as many to block.")
    report_s: int = _setting(365 * 86400, "How long a report about a user is kept.")
    prekey_stale_s: int = _setting(30 * 86400, "Age at which a signed prekey is marked stale.")

    # Staff
    admin_path: str = _setting(
        DEFAULT_ADMIN_PATH, "Path of the admin: words of a-z, 0-9, `_` and `-`, each with a slash behind it."
    )
    admin_origins: list[str] = _setting(
        (),
        "Where browsers reach the admin at another port than 443 (`https://chat.example:8443`): its forms are taken "
        "from there too. The hosts must be among `CONSTRUCT_HOSTS`.",
    )
    admin_listen: str = _setting(
        "",
        "Address and port (`127.0.0.1:3001`) on which the admin is served, and nowhere else; empty: with the rest.",
    )
    staff_second_factor: str = _setting(
        "production",
        "Whether staff need a second factor to sign in: `required`, `optional` (who has one is asked for it), or "
        "`production` (required there, optional in development).",
    )
    staff_second_factor_confirmed: bool = _setting(
        False, "Production takes `CONSTRUCT_STAFF_SECOND_FACTOR=optional` only with this."
    )
    staff_addresses: bool = _setting(
        False, "The page of a session in the admin shows its address, if one is kept."
    )
    staff_session_s: int = _setting(8 * 3600, "Longest life of a sign-in to the admin.")
    staff_idle_s: int = _setting(3600, "Time without a page of the admin after which a sign-in to it ends.")

    # Socket
    frame_bytes: int = _setting(128 * 1024, "Largest frame that is read.")
    transport_frame_bytes: int = _setting(
        256 * 1024, "Largest frame that Daphne takes; beyond it close 1009."
    )
    http_requests: int = _setting(
        16, "HTTP requests in work at once; each takes a thread. One address has half."
    )
    http_requests_waiting: int = _setting(
        256, "HTTP requests that may wait, from one address a quarter; beyond it SERVER_BUSY."
    )
    http_arrival_s: float = _setting(
        60.0, "Time within which an HTTP request arrives; then its connection is closed."
    )
    request_body_bytes: int = _setting(1024 * 1024, "Largest HTTP request body.")
    authenticate_s: float = _setting(30.0, "Time to authenticate a fresh socket; then close 4401.")
    request_s: float = _setting(10.0, "Time within which every request is answered.")
    pipelined_requests: int = _setting(16, "Requests of one socket in work at once; then reading pauses.")
    heartbeat_s: float = _setting(45.0, "Idle time before a ping; a third is added at random.")
    pong_s: float = _setting(30.0, "Time for a pong.")
    stall_s: float = _setting(60.0, "Time without progress on handed messages; then close 4408.")
    drain_s: float = _setting(
        20.0,
        "Time that an ending server gives its connections; in the first half they are told, one by one, to come back.",
    )
    confirm_without_pong_s: float = _setting(
        60.0, "On a server without the ping hook: age at which a handed message counts as received."
    )

    # Delivery
    batch_messages: int = _setting(200, "Most messages of one group commit.")
    batch_bytes: int = _setting(4 * 1024 * 1024, "Most bytes of one group commit.")
    doorbell_s: float = _setting(0.05, "Longest wait for the doorbell before an ack says `queued`.")
    ack_presence: str = _setting(
        "on", "`off`: no ack tells that the recipient is connected, all say `queued`."
    )
    mailbox_messages: int = _setting(5000, "Messages that may wait for one user.")
    mailbox_bytes: int = _setting(32 * 1024 * 1024, "Bytes that may wait for one user.")
    mailbox_sender_share: int = _setting(4, "One sender fills at most one part in so many of a mailbox.")
    mailbox_request_share: int = _setting(
        2, "All who are not accepted, where that matters, fill at most one part in so many of a mailbox."
    )
    message_s: int = _setting(30 * 86400, "Life of a waiting message.")
    stub_s: int = _setting(24 * 3600, "How long a confirmed message's name is kept for re-sends.")
    sweep_s: float = _setting(
        5.0, "Pause between two looks at the database for what rings and events missed."
    )
    housekeeping_s: float = _setting(60.0, "Pause between two rounds of expiry.")
    window_messages: int = _setting(16, "Unconfirmed messages of a fresh connection.")
    window_bytes: int = _setting(64 * 1024, "Unconfirmed bytes of a fresh connection.")
    window_messages_max: int = _setting(128, "Unconfirmed messages of a connection that confirms.")
    window_bytes_max: int = _setting(1024 * 1024, "Unconfirmed bytes of a connection that confirms.")
    kept_bytes: int = _setting(
        8 * 1024 * 1024,
        "Bytes of new messages that wait in memory for room in a window; beyond it close 4408.",
    )

    # Figures
    metrics_s: int = _setting(400 * 86400, "How long the hourly figures of the server are kept.")
    metrics_flush_s: float = _setting(
        60.0, "Pause between two times that a process adds what it counted to the hourly figures."
    )

    # Limits
    limits: str = _setting("on", "`off` lifts every rate limit and connection cap (load tests).")
    limits_off_confirmed: bool = _setting(False, "Production takes `CONSTRUCT_LIMITS=off` only with this.")
    connections_per_user: int = _setting(10, "Sockets of one user.")
    connections_per_address: int = _setting(50, "Sockets of one address (IPv6: a /64).")
    messages_per_hour: int = _setting(1000, "Messages of one user in an hour.")
    messages_block_at: int = _setting(1500, "Attempts in an hour that block the user for an hour.")
    rotations_per_day: int = _setting(10, "Prekey rotations of one user.")
    searches_per_minute: int = _setting(30, "Searches of one user in a minute.")
    searches_per_day: int = _setting(500, "Searches of one user in a day.")
    bundles_per_hour: int = _setting(300, "Bundle fetches of one user in an hour.")
    contact_requests_per_hour: int = _setting(
        600, "Requests of one user in an hour about contacts, blocked people and message requests."
    )
    reports_per_day: int = _setting(20, "Reports of one user about others in a day.")
    exports_per_day: int = _setting(5, "Exports of one user's data in a day.")
    failed_logins_per_name_address: int = _setting(
        5, "Failed logins for one name from one address in 15 minutes."
    )
    failed_logins_per_address: int = _setting(20, "Failed logins from one address in 15 minutes.")
    failed_logins_per_name: int = _setting(50, "Failed logins for one name in 15 minutes.")
    registrations_per_hour: int = _setting(10, "Registrations from one address in an hour.")
    bad_frames_per_minute: int = _setting(20, "Unreadable frames of one socket in a minute; then close 4400.")
    flood_frames_per_s: int = _setting(200, "Frames a second of one socket, over 5 s; then close 4429.")
    flood_bytes_per_s: int = _setting(1024 * 1024, "Bytes a second of one socket, over 5 s; then close 4429.")

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def limits_on(self) -> bool:
        return self.limits == "on"

    @property
    def requires_second_factor(self) -> bool:
        return self.staff_second_factor == "required" or (
            self.staff_second_factor == "production" and self.production
        )

    @property
    def admin_address(self) -> tuple[str, int] | None:
        """Host and port of the admin's own listener. None if it has none; raises ValueError if it is not readable."""
        if not self.admin_listen:
            return None
        host, _, port = self.admin_listen.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("an address, a colon and a port are needed")
        return host, int(port)

    @property
    def tells_presence(self) -> bool:
        return self.ack_presence == "on"


def variable(name: str) -> str:
    """The environment variable of a field of :class:`Config`."""
    return PLAIN_NAMES.get(name, f"CONSTRUCT_{name.upper()}")


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration.

    In development, keys that are not given are made once and kept under the
    data directory. Raises :class:`InvalidConfiguration`.
    """
    environ = dict(os.environ if environ is None else environ)
    known = {variable(each.name) for each in fields(Config)}
    if unknown := sorted(name for name in environ if name.startswith("CONSTRUCT_") and name not in known):
        raise InvalidConfiguration(f"unknown configuration: {', '.join(unknown)}")
    values = {each.name: _read(environ, each) for each in fields(Config) if environ.get(variable(each.name))}
    config = Config(**values)
    for name, words in _WORDS.items():
        if getattr(config, name) not in words:
            raise InvalidConfiguration(f"{variable(name)} must be one of: {', '.join(words)}")
    # Refused here, since Django loads the driver of whatever kind it is before any check of ours.
    if config.database_url and not config.database_url.startswith(_DATABASES):
        raise InvalidConfiguration(f"{variable('database_url')} must begin with {' or '.join(_DATABASES)}")
    if config.environment == "development":
        made = _development_keys(config.data_dir)
        config = Config(**{**made, **values})
    return config


def _read(environ: Mapping[str, str], setting: Field[Any]) -> Any:
    name = variable(setting.name)
    text = environ[name].strip()
    kind = get_type_hints(Config)[setting.name]
    given: object = [part.strip() for part in text.split(",") if part.strip()] if kind == list[str] else text
    if kind is bool:
        given = {"yes": True, "no": False}.get(text.lower(), text)
    try:
        value = Path(text) if kind is Path else msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError:
        # Without its cause: that one quotes the value, which can be a secret.
        raise InvalidConfiguration(f"{name} cannot be read as {setting.type}") from None
    if isinstance(value, int | float) and value < 0:
        raise InvalidConfiguration(f"{name} must not be negative")
    return value


def development_key() -> bytes:
    """A fresh key of 32 bytes that production refuses."""
    return DEVELOPMENT_MARK + secrets.token_bytes(32 - len(DEVELOPMENT_MARK))


class _DevelopmentKeys(msgspec.Struct):
    """What the file of development keys holds."""

    secret_key: str
    mailbox_keys: list[str]
    dedup_key: str


def _development_keys(data_dir: Path) -> dict[str, Any]:
    """The development keys of this data directory, made at the first call; safe against a second process.

    Raises :class:`InvalidConfiguration`.
    """
    path = data_dir / _DEVELOPMENT_KEYS
    place = f"{_DEVELOPMENT_KEYS} under {variable('data_dir')}"
    try:
        _make_development_keys(path)
        keys = msgspec.json.decode(path.read_bytes(), type=_DevelopmentKeys)
    except OSError as error:
        raise InvalidConfiguration(f"{place} can be neither read nor made: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Without its cause, which quotes what is there.
        raise InvalidConfiguration(
            f"{place} is damaged: restore it, or remove it to have other keys made, "
            "with which messages that wait cannot be read"
        ) from None
    return msgspec.structs.asdict(keys)


def _make_development_keys(path: Path) -> None:
    data_dir = path.parent
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = {
            "secret_key": DEVELOPMENT_MARK.decode() + "-" + secrets.token_urlsafe(48),
            "mailbox_keys": [base64.b64encode(development_key()).decode()],
            "dedup_key": base64.b64encode(development_key()).decode(),
        }
        draft = data_dir / f".development-keys-{secrets.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(keys, file)
        try:
            os.link(draft, path)  # fails where another process was faster: its keys count
        except FileExistsError:
            pass
        finally:
            draft.unlink()


def table() -> list[tuple[str, str, str]]:
    """Rows (variable, default, text) for the documentation; secrets have no default to show."""
    return [
        (variable(each.name), _shown(each), each.metadata["text"])
        for each in fields(Config)
        if each.default is not MISSING
    ]


def values(config: Config) -> list[tuple[str, str, str]]:
    """Rows (variable, value, text) of what is in force. Of a secret only whether it is set."""
    return [
        (variable(each.name), _value(each, getattr(config, each.name)), each.metadata["text"])
        for each in fields(Config)
    ]


def _value(setting: Field[Any], value: Any) -> str:
    if setting.metadata["secret"]:
        return "set" if value else "not set"
    return ", ".join(value) if isinstance(value, list) else _text(value)


def _shown(setting: Field[Any]) -> str:
    if isinstance(setting.default, Path):
        return str(setting.default.relative_to(REPOSITORY))
    return _text(setting.default)


def _text(value: Any) -> str:
    if value in ("", (), None):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
