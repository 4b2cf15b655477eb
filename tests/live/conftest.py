"""Servers for the live tests. Those of a test end with it, also when it fails, and their logs are read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.server import Backing, BackingName, Server, ServerFactory, backing_of

BACKINGS: list[BackingName] = ["embedded", "distributed"]


@pytest.fixture(params=BACKINGS)
def backing(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgresql_url: str,
    valkey_url: str,
) -> Iterator[Backing]:
    """Each backing in turn, empty; `parametrize("backing", [...], indirect=True)` picks one."""
    directory = tmp_path_factory.mktemp("data")
    with backing_of(request.param, directory, postgresql_url, valkey_url) as fresh:
        yield fresh


@pytest.fixture
def server_process(backing: Backing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """Starts servers on the test's own backing; ends them and reads their logs afterwards."""
    factory = ServerFactory(backing, tmp_path_factory.mktemp("servers"))
    try:
        yield factory
    finally:
        factory.close()


@pytest.fixture
def server(server_process: ServerFactory) -> Server:
    """One server with the default settings."""
    return server_process()
