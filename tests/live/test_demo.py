from __future__ import annotations

from messaging.client.demo import run_demo
from tests.live.server import ServerFactory


async def test_two_accounts_talk_each_on_its_own_process_where_there_are_two(
    server_process: ServerFactory,
) -> None:
    if server_process.backing.name == "embedded":
        first = second = server_process()
    else:
        first, second = server_process.pair()
    said: list[str] = []
    await run_demo(first.websocket_url, second.websocket_url, said.append)
    assert len(said) > 1
