"""Loaded by pytest before Django's settings: tests run in development, with data of their own."""

from __future__ import annotations

import os
import signal
import tempfile

os.environ.setdefault("CONSTRUCT_ENVIRONMENT", "development")
if "CONSTRUCT_DATA_DIR" not in os.environ:
    _directory = tempfile.TemporaryDirectory(prefix="construct-test-")
    os.environ["CONSTRUCT_DATA_DIR"] = _directory.name

# A polite end runs every fixture's `finally`, as Ctrl-C does: no server of a test stays behind.
signal.signal(signal.SIGTERM, signal.default_int_handler)
