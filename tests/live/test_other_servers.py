"""The application under servers without our extension: everything works, confirmation by age alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.live.conftest import BACKINGS
from tests.live.dialogue import chat_message, chat_messages, codes_of
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets
from tests.live.server import ServerFactory, Templates, backing_of
from tests.live.test_entry_points import ENTRY_POINTS

SETTINGS = {"CONSTRUCT_CONFIRM_WITHOUT_PONG_S": "1.5", "CONSTRUCT_HEARTBEAT_S": "0.2"}


@pytest.fixture(scope="module", params=["daphne", "runserver"])
def entry_point(request: pytest.FixtureRequest) -> Sequence[str]:
    arguments: Sequence[str] = ENTRY_POINTS[request.param]
    return arguments


@pytest.fixture(scope="module", params=BACKINGS)
def nodes(
    request: pytest.FixtureRequest,
    entry_point: Sequence[str],
    tmp_path_factory: pytest.TempPathFactory,
    templates: Templates,
    valkey_url: str,
) -> Iterator[Nodes]:
    """One of the other servers on each backing."""
    with backing_of(request.param, tmp_path_factory.mktemp("data"), templates, valkey_url) as backing:
        factory = ServerFactory(backing, tmp_path_factory.mktemp("servers"))
        try:
            server = factory(entry_point, **{**SHARED_SETTINGS, **SETTINGS})
            # Their access logs name addresses and paths, nothing that a test keeps private.
            yield Nodes(backing, server, server, factory.private)
        finally:
            factory.close()


async def test_messages_are_delivered_and_confirmed_by_age(nodes: Nodes, sockets: Sockets) -> None:
    alice, a = await sockets.register()
    b = await sockets.register_absent()
    sent = chat_messages(a, b, 3)
    for message in sent:
        await alice.send_to_absent(message)
    early = await sockets.resume(b)
    assert await early.messages(3) == sent
    await early.close()
    assert nodes.waiting(b) == 3, "a connection that ended early confirms nothing"
    late, raw = await sockets.open_raw()
    await late.connect(b)
    assert await late.messages(3) == sent
    assert nodes.waiting(b) == 3
    await nodes.confirmed(b)
    assert raw.pings.empty(), "the hub pings only where pongs come back"
    live = chat_message(a, b)
    await alice.send_to_present(live)
    assert await late.message() == live


async def test_refusals_close_with_their_own_codes(sockets: Sockets) -> None:
    alice, a = await sockets.register()
    other = await sockets.resume(a)
    await alice.ask("logout", {"sessionToken": a.token})
    assert await other.ending() == ([{"type": "sessionExpired"}], 4401)
    bad = await sockets.open()
    for _ in range(20):
        await bad.tell_bytes(b"\xc1")
    frames, code = await bad.ending()
    assert (codes_of(frames), code) == (["INVALID_FORMAT"] * 20, 4400)
