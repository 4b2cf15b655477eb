"""What an operator should know and no request can tell them: logged the first time, then shown by readiness."""

from __future__ import annotations

from threading import Lock

import structlog

log = structlog.get_logger(__name__)


class Notice:
    """One sentence that holds for the rest of the process once it was given. Safe to give in any thread."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_given = False
        self._giving = Lock()

    def give(self) -> None:
        """Log the sentence, the first time; later calls do nothing."""
        with self._giving:
            if self.is_given:
                return
            self.is_given = True
        log.warning(self.text)


UNTRUSTED_FORWARDING = Notice("a forwarding header came from a peer that is not a trusted proxy")
FOREIGN_HOST = Notice(
    "a request named a host that this server has not; if its clients do, put the name into CONSTRUCT_HOSTS "
    "and have the proxy pass the header Host on"
)
NOTICES = (UNTRUSTED_FORWARDING, FOREIGN_HOST)


def given() -> list[str]:
    """The sentences that this process has given."""
    return [notice.text for notice in NOTICES if notice.is_given]
