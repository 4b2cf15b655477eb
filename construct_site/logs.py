"""Structured logs on standard error: text in development, one JSON object a line in production.

What may be logged: counts, durations, codes, names of exceptions. Never payloads,
tokens, names or addresses; ids only as keyed hashes.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str, *, as_json: bool) -> None:
    """Route the standard library's loggers through structlog."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_leave_out_what_daphne_names)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                _name_error_only,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # They name addresses, hosts and paths of requests.
    for noisy in (
        "daphne.http_protocol",
        "daphne.ws_protocol",
        "django.request",
        "django.security",
        "django.channels.server",
        # They name the database's host and user.
        "psycopg.pool",
    ):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _leave_out_what_daphne_names(record: logging.LogRecord) -> bool:
    """Of Daphne's server log only warnings, and without their values: connections, with addresses and paths."""
    if record.name != "daphne.server":
        return True
    record.args = None
    return record.levelno >= logging.WARNING


def _name_error_only(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace a traceback, and the sentence of a library that comes with one, by where and what it was."""
    event.pop("stack_info", None)
    attached = event.pop("exc_info", None)
    error = attached[1] if isinstance(attached, tuple) else sys.exception() if attached is True else attached
    if isinstance(error, BaseException):
        event["error"] = describe_error(error)
        if not event["_from_structlog"]:
            event["event"] = "unexpected error"
    return event


def describe_error(error: BaseException) -> str:
    """The class of an unexpected error and where it arose, without its text: that can quote what a client sent."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return type(error).__name__
    return f"{type(error).__name__} in {place.tb_frame.f_globals.get('__name__')}, line {place.tb_lineno}"
