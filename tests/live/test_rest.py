"""REST on the running server: what it changes reaches live sockets, and it keeps what its schema says."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from construct_site.env import REPOSITORY
from messaging.client.encryption import Keys
from tests.live.dialogue import Dialogue, Person, chat_message, chat_messages
from tests.live.nodes import SHARED_SETTINGS, Nodes, Sockets, run_command
from tests.live.rest import ask
from tests.live.server import Server, environment_of

EXPIRED = {"type": "sessionExpired"}
NEW_PASSWORD = "a brand new passphrase"
EXAMPLES = 5
FUZZING_S = 100
LEFT_OUT = ("deleteAccount", "logOut", "endSession", "changePassword")
"""They would end the session with which the rest is tried."""


async def assert_ended(dialogue: Dialogue) -> None:
    assert await dialogue.ending() == ([EXPIRED], 4401)


async def log_in(server: Server, person: Person) -> str:
    status, body = await ask(
        server, "POST", "login", {"username": person.username, "password": person.password}
    )
    assert status == 200
    token: str = body["sessionToken"]
    return token


async def test_a_token_of_either_edge_opens_the_other(nodes: Nodes, sockets: Sockets) -> None:
    _, alice = await sockets.register(nodes.here)
    status, profile = await ask(nodes.there, "GET", "profile", token=alice.token)
    assert (status, profile["userId"]) == (200, alice.user_id)
    token = await log_in(nodes.there, alice)
    opened = await sockets.open(nodes.here)
    assert (await opened.ask("connect", {"sessionToken": token}))["type"] == "connectSuccess"


async def test_a_session_that_is_ended_over_rest_ends_its_sockets_and_no_others(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, alice = await sockets.register(nodes.here)
    there = await sockets.resume(alice, nodes.there)
    token = await log_in(nodes.there, alice)
    other = await sockets.open(nodes.here)
    await other.ask("connect", {"sessionToken": token})
    _, body = await ask(nodes.there, "GET", "sessions", token=token)
    (lost,) = [each["id"] for each in body["sessions"] if not each["isCurrent"]]
    assert (await ask(nodes.there, "DELETE", f"sessions/{lost}", token=token))[0] == 204
    for each in (here, there):
        await assert_ended(each)
    assert (await other.ask("searchUsers", {"query": "nobody"}))["type"] == "searchResults"


async def test_a_changed_password_ends_the_sockets_of_the_other_sessions(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, alice = await sockets.register(nodes.here)
    token = await log_in(nodes.there, alice)
    kept = await sockets.open(nodes.here)
    await kept.ask("connect", {"sessionToken": token})
    passwords = {"currentPassword": alice.password, "newPassword": NEW_PASSWORD}
    assert await ask(nodes.there, "PUT", "password", passwords, token) == (200, {"revoked": 1})
    await assert_ended(here)
    assert (await kept.ask("searchUsers", {"query": "nobody"}))["type"] == "searchResults"


async def test_a_reset_code_of_a_command_ends_every_socket_of_its_account_alone(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, alice = await sockets.register(nodes.here)
    there = await sockets.resume(alice, nodes.there)
    bystander, _ = await sockets.register(nodes.here)
    code = run_command(nodes.backing, "make_reset_code", alice.username).splitlines()[0]
    nodes.private.update({code[-22:], NEW_PASSWORD})
    # The code alone changes nothing.
    assert (await there.ask("searchUsers", {"query": "nobody"}))["type"] == "searchResults"
    wrong = {"code": code[::-1], "newPassword": NEW_PASSWORD}
    assert (await ask(nodes.there, "POST", "password/reset", wrong))[1]["code"] == "INVALID_CREDENTIALS"
    assert await ask(nodes.there, "POST", "password/reset", {**wrong, "code": code}) == (204, "")
    for each in (here, there):
        await assert_ended(each)
    assert (await bystander.ask("searchUsers", {"query": "nobody"}))["type"] == "searchResults"
    again = await sockets.open(nodes.here)
    login = {"username": alice.username, "password": alice.password}
    assert await again.refusal("login", login) == "INVALID_CREDENTIALS"
    assert (await again.ask("login", {**login, "password": NEW_PASSWORD}))["type"] == "loginSuccess"


async def test_a_required_reset_refuses_logins_on_both_edges_until_the_code_is_redeemed(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice = await sockets.register_absent(nodes.here)
    code = run_command(nodes.backing, "make_reset_code", alice.username, "--require").splitlines()[0]
    login = {"username": alice.username, "password": alice.password}
    opened = await sockets.open(nodes.there)
    assert await opened.refusal("login", login) == "PASSWORD_RESET_REQUIRED"
    assert (await ask(nodes.here, "POST", "login", login))[1]["code"] == "PASSWORD_RESET_REQUIRED"
    assert await opened.ask("connect", {"sessionToken": alice.token}) == EXPIRED
    body = {"code": code, "newPassword": NEW_PASSWORD}
    assert (await ask(nodes.here, "POST", "password/reset", body))[0] == 204
    assert (await opened.ask("login", {**login, "password": NEW_PASSWORD}))["type"] == "loginSuccess"


async def replace_bundle(
    server: Server, person: Person, token: str, *, drop_waiting: bool = False
) -> tuple[Keys, Any]:
    """Give the account other keys; those, and the answer."""
    keys = Keys.generate()
    asked = {"password": person.password, "publicKey": keys.bundle(), "dropWaiting": drop_waiting}
    status, body = await ask(server, "PUT", "bundle", asked, token)
    assert status == 200, body
    return keys, body


async def test_a_replaced_bundle_is_served_everywhere_and_ends_the_sockets_of_the_other_sessions(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, alice = await sockets.register(nodes.here)
    there = await sockets.resume(alice, nodes.there)
    bob, b = await sockets.register(nodes.there)
    token = await log_in(nodes.there, alice)
    kept = await sockets.open(nodes.here)
    await kept.ask("connect", {"sessionToken": token})
    await bob.ask("getPublicKey", {"userId": alice.user_id})
    keys, body = await replace_bundle(nodes.there, alice, token)
    assert body == {"revoked": 1, "unreadable": 0, "dropped": 0}
    for lost in (here, there):
        await assert_ended(lost)
    for reader in (bob, kept):
        served = (await reader.ask("getPublicKey", {"userId": alice.user_id}))["payload"]
        assert base64.b64decode(served["identityPublic"]) == bytes(keys.identity.public_key)
        assert base64.b64decode(served["verifyingKey"]) == bytes(keys.signing.verify_key)
        assert base64.b64decode(served["signedPrekeyPublic"]) == keys.prekey_public
    update = {"userId": alice.user_id, "update": keys.rotated().update()}
    assert (await kept.ask("rotatePrekey", update))["type"] == "keyRotationSuccess"
    message = chat_message(b, alice)
    await bob.send(message)
    assert await kept.message() == message


async def test_dropped_messages_do_not_come_and_are_known_when_they_are_sent_again(
    nodes: Nodes, sockets: Sockets
) -> None:
    alice = await sockets.register_absent(nodes.here)
    bob, b = await sockets.register(nodes.here)
    elsewhere = await sockets.resume(b, nodes.there)
    dropped, fresh = [chat_message(b, alice) for _ in range(3)], chat_message(b, alice)
    for message in dropped:
        await bob.send_to_absent(message)
    token = await log_in(nodes.there, alice)
    _, body = await replace_bundle(nodes.there, alice, token, drop_waiting=True)
    assert body == {"revoked": 1, "unreadable": 3, "dropped": 3}
    assert nodes.waiting(alice) == 0
    for sender in (bob, elsewhere):
        assert [await sender.send(message) for message in dropped] == ["delivered"] * 3
    assert await bob.refusal("sendMessage", dropped[0] | {"content": "AAAA"}) == "DUPLICATE_MESSAGE"
    assert nodes.waiting(alice) == 0
    await elsewhere.send_to_absent(fresh)
    returned = await sockets.open(nodes.here)
    await returned.ask("connect", {"sessionToken": token})
    assert await returned.message() == fresh


async def test_a_socket_that_holds_what_is_dropped_goes_on(nodes: Nodes, sockets: Sockets) -> None:
    alice = await sockets.register_absent(nodes.here)
    bob, b = await sockets.register(nodes.there)
    token = await log_in(nodes.here, alice)
    own = await sockets.open(nodes.here)
    await own.ask("connect", {"sessionToken": token, "receipts": True})
    held = chat_messages(b, alice, 2)
    for message in held:
        await bob.send(message)
    assert await own.messages(2) == held
    _, body = await replace_bundle(nodes.there, alice, token, drop_waiting=True)
    assert (body["unreadable"], body["dropped"]) == (2, 2)
    between, last = chat_messages(b, alice, 2)
    await bob.send(between)
    assert await own.message() == between
    await own.tell("received", {"messageIds": [message["id"] for message in (*held, between)]})
    await nodes.confirmed(alice)
    await bob.send(last)
    assert await own.message() == last
    await own.close()
    again = await sockets.open(nodes.there)
    await again.ask("connect", {"sessionToken": token})
    assert await again.message() == last, "of what was dropped nothing came again"


async def test_a_deleted_account_is_gone_for_its_sockets_and_for_senders(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, alice = await sockets.register(nodes.here)
    bob, _ = await sockets.register(nodes.there)
    status, _ = await ask(nodes.there, "POST", "account/deletion", {"password": alice.password}, alice.token)
    assert status == 204
    await assert_ended(here)
    assert await bob.refusal("getPublicKey", {"userId": alice.user_id}) == "USER_NOT_FOUND"


def test_a_body_over_the_limit_is_refused_with_a_row_of_the_table(nodes: Nodes) -> None:
    with socket.create_connection(("127.0.0.1", nodes.here.port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n\r\n"
        )
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["code"] == "MESSAGE_TOO_LARGE"


async def test_the_documentation_needs_no_other_network(nodes: Nodes) -> None:
    status, page = await ask(nodes.here, "GET", "/api/docs/")
    assert status == 200
    assert "https://" not in page
    assert "/static/drf_spectacular_sidecar/" in page
    script = page.partition('src="')[2].partition('"')[0]
    assert (await ask(nodes.here, "GET", script))[0] == 200


async def test_what_schemathesis_makes_up_finds_nothing(
    nodes: Nodes, sockets: Sockets, tmp_path: Path
) -> None:
    _, alice = await sockets.register(nodes.here)
    left_out = [each for name in LEFT_OUT for each in ("--exclude-operation-id", name)]
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        f"http://127.0.0.1:{nodes.here.port}/api/schema/",
        *("--header", f"Authorization: Bearer {alice.token}"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--no-color", "--generation-database", "none"),
        # A password must not be common, a signature must verify: no schema says so.
        *("--exclude-checks", "positive_data_acceptance"),
        *left_out,
    ]
    run = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=FUZZING_S, check=False
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    selected = re.search(r"Selected: (\d+)/(\d+)", run.stdout)
    assert selected
    assert int(selected[1]) == int(selected[2]) - len(LEFT_OUT)
    assert f"Tested: {selected[1]}" in run.stdout
    assert "Authentication failed" not in run.stdout


def export_by_the_schema(server: Server, password: str, token: str) -> tuple[int, str]:
    """Status and text of an export that has the form which the schema gives it; else it raises."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/api/schema/")
    case = schema["/api/v1/account/export"]["POST"].Case(body={"password": password})
    response = case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
    return response.status_code, response.text


async def test_an_export_of_the_running_server_has_the_form_of_its_schema(
    nodes: Nodes, sockets: Sockets
) -> None:
    sender, alice = await sockets.register(nodes.here)
    bob = await sockets.register_absent(nodes.there)
    await sender.send_to_absent(chat_message(alice, bob))
    token = await log_in(nodes.there, bob)
    status, text = await asyncio.to_thread(export_by_the_schema, nodes.there, bob.password, token)
    told = json.loads(text)
    assert (status, told["account"]["userId"], told["mailbox"]["messages"]) == (200, bob.user_id, 1)
    assert alice.username not in text


async def test_the_session_of_the_documentation_runs_as_written(nodes: Nodes) -> None:
    page = (REPOSITORY / "docs" / "rest.md").read_text(encoding="utf-8")
    script = "set -eu\n" + "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    # The page's commands run beside the server, on its database.
    api = f"http://127.0.0.1:{nodes.here.port}/api/v1"
    environment = environment_of(nodes.backing, **SHARED_SETTINGS, API=api)
    if shutil.which("curl") is None:
        script = f'curl() {{ {sys.executable} -m tests.live.curl "$@"; }}\n{script}'
    run = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", script],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    answers = run.stdout
    for part in (
        '"extensions":["receipts"]',
        '"isCurrent":true',
        '"revoked":1',
        "Down the hole",
        "fingerprint",
        '"unreadable":0',
        '"format":"construct-export/1"',
    ):
        assert part in answers
    assert '"code"' not in answers


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/"])
async def test_schema_and_documentation_are_for_everybody(nodes: Nodes, path: str) -> None:
    assert (await ask(nodes.here, "GET", path))[0] == 200
