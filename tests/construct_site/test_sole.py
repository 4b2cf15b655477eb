"""Without Redis one process has the database for itself; however it ends, the next one can have it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from construct_site.env import REPOSITORY, Config
from construct_site.server.sole import refuse_second_process
from tests.construct_site.probes import WAIT_S, environment

pytestmark = pytest.mark.django_db
PROGRAM = """
import sys, django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
django.setup()
from construct_site.server.sole import refuse_second_process
try:
    with refuse_second_process(settings.CONSTRUCT):
        print("held", flush=True)
        sys.stdin.read()
except ImproperlyConfigured:
    print("refused", flush=True)
"""


@pytest.fixture
def alone() -> Config:
    """The configuration of a process without Redis."""
    return replace(settings.CONSTRUCT, redis_url="")


@contextmanager
def process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that wants the database for itself, on PostgreSQL where the tests run on it."""
    database = {"DATABASE_URL": os.environ["DATABASE_URL"]} if "DATABASE_URL" in os.environ else {}
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        env=environment(directory, DJANGO_SETTINGS_MODULE="construct_site.settings", **database),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def answer(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def test_a_second_use_of_the_database_is_refused_until_the_first_ends(alone: Config) -> None:
    with refuse_second_process(alone):
        with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
            refuse_second_process(alone)
        with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
            refuse_second_process(alone)
    with refuse_second_process(alone):
        pass


def test_with_redis_any_number_may_use_the_database(alone: Config) -> None:
    with (
        refuse_second_process(replace(alone, redis_url="redis://h")),
        refuse_second_process(replace(alone, redis_url="redis://h")),
        refuse_second_process(alone),
    ):
        pass


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        assert answer(first) == "held"
        with process(tmp_path) as second:
            assert answer(second) == "refused"
        first.kill()
        first.wait(WAIT_S)
        assert is_held_in_the_end(tmp_path)


def is_held_in_the_end(directory: Path) -> bool:
    """PostgreSQL notices the end of a client a moment later."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with process(directory) as next_one:
            if answer(next_one) == "held":
                return True
    return False
