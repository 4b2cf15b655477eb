"""Cheap hashes and a limiter of the test's event loop."""

from tests.accounts.conftest import cheap_hashes, limiter

__all__ = ["cheap_hashes", "limiter"]
