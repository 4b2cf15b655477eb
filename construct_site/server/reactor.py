"""Twisted's reactor on uvloop. Daphne takes whichever reactor is there when it is first imported."""

from __future__ import annotations

import sys


def install() -> None:
    """Install the reactor, unless there is one. Call before anything imports ``daphne.server``."""
    if "twisted.internet.reactor" in sys.modules:
        return
    try:
        import uvloop
    except ImportError:
        return
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call] # Twisted leaves it untyped
