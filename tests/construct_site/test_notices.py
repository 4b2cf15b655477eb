"""Notices: said once, shown from then on."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from structlog.testing import capture_logs

from construct_site import notices
from construct_site.notices import Notice


def test_a_notice_is_logged_the_first_time_whoever_gives_it() -> None:
    notice, together = Notice("it rains"), Barrier(8)

    def give() -> None:
        together.wait()
        notice.give()

    with capture_logs() as logged:
        threads = [Thread(target=give) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [(line["log_level"], line["event"]) for line in logged] == [("warning", "it rains")]


def test_those_that_were_given_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = Notice("it rains"), Notice("it snows")
    monkeypatch.setattr(notices, "NOTICES", (given, other))
    assert notices.given() == []
    given.give()
    assert notices.given() == ["it rains"]
