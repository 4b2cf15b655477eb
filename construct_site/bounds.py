"""Numbers that no server can work with, in production or development."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

from construct_site.env import Config, variable
from construct_site.proof_of_work import BITS_MAX

PORT_MAX = 65535
ARGON2_MEMORY_MIN_KIB = 8
"""RFC 9106 section 3.1, for one lane."""
POSITIVE = (
    "registration_work_s",
    "session_s",
    "sessions_per_user",
    "staff_session_s",
    "staff_idle_s",
    "password_hash_passes",
    "password_hash_threads",
    "frame_bytes",
    "transport_frame_bytes",  # to Daphne 0 means no limit
    "authenticate_s",
    "request_s",
    "pipelined_requests",
    "http_requests",
    "heartbeat_s",
    "pong_s",
    "stall_s",
    "confirm_without_pong_s",
    "batch_messages",
    "batch_bytes",
    "mailbox_sender_share",
    "message_s",
    "housekeeping_s",
    "metrics_flush_s",
    "sweep_s",
    "window_messages",
    "window_bytes",
)
"""Zero would lift a bound, lose messages, divide by zero or never rest. Elsewhere it only forbids."""
ORDERED = (
    ("frame_bytes", "transport_frame_bytes"),
    ("window_messages", "window_messages_max"),
    ("window_bytes", "window_bytes_max"),
)
"""The first of each pair must not be above the second."""


def number_problems(config: Config) -> Iterator[str]:
    """One sentence for each number that cannot be meant, naming its variable."""
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{variable(each.name)} must be a finite number."
    for name in POSITIVE:
        if getattr(config, name) <= 0:
            yield f"{variable(name)} must be above 0."
    for low, high in ORDERED:
        if getattr(config, low) > getattr(config, high):
            yield f"{variable(low)} must not be above {variable(high)}."
    if config.port > PORT_MAX:
        yield f"{variable('port')} must not be above {PORT_MAX}."
    if config.registration_work_bits > BITS_MAX:
        yield f"{variable('registration_work_bits')} must not be above {BITS_MAX}."
    if config.password_hash_memory_kib < ARGON2_MEMORY_MIN_KIB:
        yield f"{variable('password_hash_memory_kib')} must be at least {ARGON2_MEMORY_MIN_KIB}."
