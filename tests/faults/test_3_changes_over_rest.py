"""What is changed over REST on one process holds on another while the channel layer is away: the database tells it."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable

from keys.bundle import encode_bundle, encode_update
from tests.faults.cluster import Cluster, away
from tests.keys.owners import KeyOwner
from tests.live.dialogue import Dialogue, Person
from tests.live.nodes import Nodes, Sockets
from tests.live.rest import ask
from tests.live.server import Server
from tests.live.test_rest import NEW_PASSWORD, log_in
from tests.live.test_sessions import admin_of
from tests.services import RedisServer

END_S = 10.0
"""Longest life of a socket whose session was ended."""
SLACK = 3
EXPIRED = {"type": "sessionExpired"}
UNAUTHENTICATED = 4401
SUSPENDED = 4403

Change = Callable[[Server, Person], Awaitable[None]]


async def log_out(server: Server, person: Person) -> None:
    assert (await ask(server, "POST", "logout", token=person.token))[0] == 204


async def end_one_session(server: Server, person: Person) -> None:
    token = await log_in(server, person)
    _, body = await ask(server, "GET", "sessions", token=token)
    (lost,) = [each["id"] for each in body["sessions"] if not each["isCurrent"]]
    assert (await ask(server, "DELETE", f"sessions/{lost}", token=token))[0] == 204


async def end_the_others(server: Server, person: Person) -> None:
    token = await log_in(server, person)
    assert await ask(server, "DELETE", "sessions", token=token) == (200, {"revoked": 1})


async def change_the_password(server: Server, person: Person) -> None:
    token = await log_in(server, person)
    passwords = {"currentPassword": person.password, "newPassword": NEW_PASSWORD}
    assert await ask(server, "PUT", "password", passwords, token) == (200, {"revoked": 1})


async def delete_the_account(server: Server, person: Person) -> None:
    password = {"password": person.password}
    assert (await ask(server, "POST", "account/deletion", password, person.token))[0] == 204


CHANGES: tuple[Change, ...] = (
    log_out,
    end_one_session,
    end_the_others,
    change_the_password,
    delete_the_account,
)


def suspend(nodes: Nodes, staff: Person, person: Person) -> None:
    """As staff do it in the admin."""
    form = {"days": "", "public_reason": "Spam.", "reason": "ticket 7"}
    page = admin_of(nodes, staff).post(f"/admin/accounts/user/act/suspend/?ids={person.user_id}", form)
    assert "Suspend: done for 1 of 1." in page


async def assert_ends(socket: Dialogue) -> None:
    assert await socket.ending(SLACK * END_S) == ([EXPIRED], UNAUTHENTICATED)


async def assert_suspended(socket: Dialogue) -> None:
    (error,), code = await socket.ending(SLACK * END_S)
    assert (error["payload"]["code"], code) == ("ACCOUNT_SUSPENDED", SUSPENDED)


async def test_sockets_of_another_process_end_in_time(cluster: Cluster, valkey: RedisServer) -> None:
    here, there = cluster.servers[:2]
    nodes = Nodes(cluster.factory.backing, here, there, cluster.factory.private)
    async with Sockets(there, nodes.private) as sockets:
        people = [await sockets.register() for _ in CHANGES]
        suspended, spammer = await sockets.register()
        bystander, staff = await sockets.register()
        async with away(valkey.kill, valkey.start):
            begin = time.monotonic()
            for change, (_, person) in zip(CHANGES, people, strict=True):
                await change(here, person)
            await asyncio.to_thread(suspend, nodes, staff, spammer)
            changed_s = time.monotonic() - begin
            await asyncio.gather(assert_suspended(suspended), *(assert_ends(each) for each, _ in people))
            assert time.monotonic() - begin - changed_s < SLACK * END_S
            assert (await bystander.ask("searchUsers", {"query": "nobody"}))["type"] == "searchResults"


async def test_who_made_the_change_stays_connected(cluster: Cluster, valkey: RedisServer) -> None:
    here, there = cluster.servers[:2]
    async with Sockets(there, cluster.factory.private) as sockets:
        lost, person = await sockets.register()
        token = await log_in(here, person)
        kept = await sockets.open()
        await kept.ask("connect", {"sessionToken": token})
        async with away(valkey.kill, valkey.start):
            assert await ask(here, "DELETE", "sessions", token=token) == (200, {"revoked": 1})
            await assert_ends(lost)
            assert (await kept.ask("searchUsers", {"query": "nobody"}))["type"] == "searchResults"


async def test_keys_and_names_are_served_as_they_are_from_the_next_look_on(
    cluster: Cluster, valkey: RedisServer
) -> None:
    here, there = cluster.servers[:2]
    owner = KeyOwner()
    update = owner.update()
    async with Sockets(there, cluster.factory.private) as sockets:
        _, person = await sockets.register(publicKey=encode_bundle(owner.bundle()))
        stranger, _ = await sockets.register()
        await stranger.ask("getPublicKey", {"userId": person.user_id})
        async with away(valkey.kill, valkey.start):
            rotation = {"update": encode_update(update)}
            assert (await ask(here, "PUT", "prekey", rotation, person.token))[0] == 204
            served = (await stranger.ask("getPublicKey", {"userId": person.user_id}))["payload"]
            assert base64.b64decode(served["signedPrekeyPublic"]) == update.new_prekey_public
            name = {"displayName": "Down the hole", "discoverable": True}
            assert (await ask(here, "PATCH", "profile", name, person.token))[0] == 200
            found = (await stranger.ask("searchUsers", {"query": person.username}))["payload"]["users"]
            assert [each["displayName"] for each in found] == ["Down the hole"]
            hidden = {"discoverable": False}
            assert (await ask(here, "PATCH", "profile", hidden, person.token))[0] == 200
            found = (await stranger.ask("searchUsers", {"query": person.username}))["payload"]["users"]
            assert found == []
