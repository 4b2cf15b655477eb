"""Loaded by pytest before Django's settings: tests run in development, with data of their own."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("CONSTRUCT_ENVIRONMENT", "development")
if "CONSTRUCT_DATA_DIR" not in os.environ:
    _directory = tempfile.TemporaryDirectory(prefix="construct-test-")
    os.environ["CONSTRUCT_DATA_DIR"] = _directory.name
