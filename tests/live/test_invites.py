"""Registration by invite on the running server, over the socket: `inviteCode` is a key of `register`."""

from __future__ import annotations

from tests.live.dialogue import Dialogue, registration
from tests.live.nodes import Nodes, Sockets, run_command

SETTINGS = {"CONSTRUCT_REGISTRATION": "invite"}


def make_invite(nodes: Nodes, uses: int) -> str:
    """A code, as operators make it beside the running server."""
    printed = run_command(nodes.backing, "make_invite", "--uses", str(uses), "--days", "1")
    code = printed.splitlines()[0]
    assert code.startswith("construct_invite_")
    nodes.private.add(code)
    return code


async def refusal(socket: Dialogue, **changes: object) -> str:
    return await socket.refusal("register", registration(**changes))


async def test_nobody_registers_without_a_code_or_with_one_that_was_never_made(
    nodes: Nodes, sockets: Sockets
) -> None:
    socket = await sockets.open()
    assert await refusal(socket) == "INVITE_REQUIRED"
    for nothing in (None, ""):
        assert await refusal(socket, inviteCode=nothing) == "INVITE_REQUIRED"
    code = make_invite(nodes, 1)
    assert await refusal(socket, inviteCode=code[:-4] + "----") == "INVALID_INVITE"
    assert await refusal(socket, inviteCode=7) == "INVALID_FORMAT"


async def test_a_code_lets_in_as_many_as_it_has_uses_on_all_processes(nodes: Nodes, sockets: Sockets) -> None:
    code = make_invite(nodes, 2)
    here, there, late = [await sockets.open(each) for each in (nodes.here, nodes.there, nodes.here)]
    first = await here.register(inviteCode=code)
    assert await refusal(there, inviteCode=code, username=first.username) == "USERNAME_TAKEN"
    second = await there.register(inviteCode=code)
    assert await refusal(late, inviteCode=code) == "INVALID_INVITE"
    for person in (first, second):
        assert (await (await sockets.open()).connect(person))["userId"] == person.user_id
