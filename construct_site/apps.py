import sys
from typing import Any

import structlog
from django.apps import AppConfig
from django.core.signals import got_request_exception

from construct_site.logs import describe_error

log = structlog.get_logger(__name__)


class SiteConfig(AppConfig):
    name = "construct_site"

    def ready(self) -> None:
        from construct_site import checks  # noqa: F401 - registers the system checks

        got_request_exception.connect(_report_failed_request)


def _report_failed_request(**_signal: Any) -> None:
    """Called inside the `except` of Django's request handler."""
    error = sys.exception()
    if error is not None:
        log.error("request failed", error=describe_error(error))
