"""Cheap hashes, the events of the process, and a limiter of the test's event loop."""

from tests.accounts.conftest import cheap_hashes, heard, limiter

__all__ = ["cheap_hashes", "heard", "limiter"]
