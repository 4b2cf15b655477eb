"""Servers for the live tests. Those of a test end with it, also when it fails, and their logs are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets
from tests.live.server import (
    Backing,
    BackingName,
    Server,
    ServerFactory,
    Templates,
    backing_of,
    templates_on,
)

BACKINGS: list[BackingName] = ["embedded", "distributed"]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, postgresql_url: str) -> Iterator[Templates]:
    """What the data of a backing is copied from."""
    with templates_on(postgresql_url, tmp_path_factory.mktemp("template")) as made:
        yield made


@pytest.fixture(params=BACKINGS)
def backing(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    templates: Templates,
    valkey_url: str,
) -> Iterator[Backing]:
    """Each backing in turn, with nobody in it; `parametrize("backing", [...], indirect=True)` picks one.

    It is migrated, except for a test that is marked with `unmigrated`.
    """
    directory = tmp_path_factory.mktemp("data")
    is_migrated = request.node.get_closest_marker("unmigrated") is None
    with backing_of(request.param, directory, templates, valkey_url, is_migrated=is_migrated) as fresh:
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


@pytest.fixture(scope="module", params=BACKINGS)
def nodes(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    templates: Templates,
    valkey_url: str,
) -> Iterator[Nodes]:
    """Servers that the tests of a module share, on each backing in turn; the module's SETTINGS are added."""
    settings = {**SHARED_SETTINGS, **getattr(request.module, "SETTINGS", {})}
    with backing_of(request.param, tmp_path_factory.mktemp("data"), templates, valkey_url) as backing:
        factory = ServerFactory(backing, tmp_path_factory.mktemp("servers"))
        try:
            if backing.name == "embedded":
                here = there = factory(**settings)
            else:
                here, there = factory.pair(**settings)
            yield Nodes(backing, here, there, factory.private)
        finally:
            factory.close()


@pytest.fixture
async def sockets(nodes: Nodes) -> AsyncIterator[Sockets]:
    """Sockets to the shared servers, closed at the end of the test."""
    async with Sockets(nodes.here, nodes.private) as opened:
        yield opened
