"""A session that ends, ends its sockets: whoever ends it, and on whichever process they are."""

from __future__ import annotations

import asyncio
import re
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest

from construct_site.env import Config
from tests.live.dialogue import Dialogue, Person, chat_message
from tests.live.nodes import Nodes, Sockets, query, run_command, run_in_another_process
from tests.live.rest import ask

EXPIRED = {"type": "sessionExpired"}
SWEEP_S = 10
"""Within this time a socket learns of what the channel layer did not tell it."""
NEW_PASSWORD = "another horse battery"


async def assert_ended(socket: Dialogue) -> None:
    assert await socket.ending() == ([EXPIRED], 4401)


async def test_a_logout_elsewhere_ends_the_sockets_of_that_session_and_no_other(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, a = await sockets.register(nodes.here)
    there = await sockets.resume(a, nodes.there)
    other = await sockets.open(nodes.there)
    await other.ask("login", {"username": a.username, "password": a.password})
    stranger = await sockets.open(nodes.here)
    assert await stranger.ask("logout", {"sessionToken": a.token}) == {"type": "logoutSuccess"}
    for socket in (here, there):
        await assert_ended(socket)
    message = chat_message(a, a)
    await other.send_to_present(message)
    assert await other.message() == message


async def test_who_logs_out_is_answered_and_stays(nodes: Nodes, sockets: Sockets) -> None:
    leaver, a = await sockets.register(nodes.here)
    same_process = await sockets.resume(a, nodes.here)
    other_process = await sockets.resume(a, nodes.there)
    assert await leaver.ask("logout", {"sessionToken": a.token}) == {"type": "logoutSuccess"}
    for socket in (same_process, other_process):
        await assert_ended(socket)
    assert await leaver.refusal("searchUsers", {"query": "any"}) == "AUTH_REQUIRED"


async def test_what_comes_after_the_end_of_a_session_waits(nodes: Nodes, sockets: Sockets) -> None:
    bob, b = await sockets.register(nodes.here)
    alice, a = await sockets.register(nodes.there)
    stranger = await sockets.open(nodes.here)
    await stranger.ask("logout", {"sessionToken": b.token})
    await assert_ended(bob)
    message = chat_message(a, b)
    await alice.send_to_absent(message)
    assert nodes.waiting(b) == 1
    again = await sockets.open()
    await again.ask("login", {"username": b.username, "password": b.password})
    assert await again.message() == message


@pytest.mark.parametrize(
    "command",
    [("revoke_sessions",), ("delete_user", "--yes"), ("make_reset_code", "--require"), ("changepassword",)],
)
async def test_an_operators_command_ends_the_sockets_of_that_account_alone(
    nodes: Nodes, sockets: Sockets, command: tuple[str, ...]
) -> None:
    here, a = await sockets.register(nodes.here)
    there = await sockets.resume(a, nodes.there)
    bystander, b = await sockets.register(nodes.there)
    run_command(nodes.backing, *command, a.username, typed=NEW_PASSWORD)
    async with asyncio.timeout(3 * SWEEP_S):
        for socket in (here, there):
            await assert_ended(socket)
    message = chat_message(b, b)
    await bystander.send_to_present(message)
    assert await bystander.message() == message


def test_the_sweep_looks_often_enough_by_default() -> None:
    """A look begins so long after the end of the one before; the other half is for looks on a busy machine."""
    assert 2 * Config().sweep_s <= SWEEP_S


async def test_a_command_in_another_process_ends_sessions(nodes: Nodes, sockets: Sockets) -> None:
    here, a = await sockets.register(nodes.here)
    there = await sockets.resume(a, nodes.there)
    bystander, b = await sockets.register(nodes.there)
    user_id = f"__import__('uuid').UUID('{a.user_id}')"
    run_in_another_process(
        nodes.backing, f"from accounts import services; services.revoke_sessions({user_id})"
    )
    # Without a channel layer the sweep finds it.
    for socket in (here, there):
        await assert_ended(socket)
    assert await (await sockets.open()).ask("connect", {"sessionToken": a.token}) == EXPIRED
    await bystander.send_to_present(chat_message(b, b))


class AdminBrowser:
    """A browser's part of the admin: cookies, forms with their tokens."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> str:
        with self._opener.open(self._url + path, timeout=10) as response:
            page: str = response.read().decode()
            return page

    def post(self, path: str, fields: dict[str, str]) -> str:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(path))
        assert token is not None
        body = urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        with self._opener.open(self._url + path, body, timeout=10) as response:
            page: str = response.read().decode()
            return page


def admin_of(nodes: Nodes, person: Person) -> AdminBrowser:
    """The admin as this person, who is made a superuser."""
    change = f"User.objects.filter(username='{person.username}').update(is_staff=True, is_superuser=True)"
    run_in_another_process(nodes.backing, f"from accounts.models import User; {change}")
    browser = AdminBrowser(nodes.here.http_url)
    browser.post(
        "/admin/login/?next=/admin/",
        {"username": person.username, "password": person.password, "next": "/admin/"},
    )
    return browser


async def test_sessions_revoked_in_the_admin_end_their_sockets(nodes: Nodes, sockets: Sockets) -> None:
    staff, s = await sockets.register()
    here, a = await sockets.register(nodes.here)
    there = await sockets.resume(a, nodes.there)
    browser = admin_of(nodes, s)
    key = a.user_id if nodes.backing.name == "distributed" else a.user_id.replace("-", "")
    [(session,)] = query(nodes.backing, "SELECT id FROM accounts_session WHERE user_id = {}", key)
    form = {"action": "revoke", "_selected_action": str(session), "apply": "yes", "reason": "stolen"}
    page = browser.post(f"/admin/accounts/session/?q={a.username}", form)
    assert "Revoke sessions: done for 1 of 1." in page
    for socket in (here, there):
        await assert_ended(socket)
    await staff.finish()


SUSPENDED = "This account is suspended. Reason: Spam."


async def test_a_suspension_ends_the_sockets_and_opens_nothing_until_it_is_lifted(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, a = await sockets.register(nodes.here)
    there = await sockets.resume(a, nodes.there)
    sender, b = await sockets.register(nodes.there)
    act(nodes, "suspend", a, "reason='ticket 7', public_reason='Spam.'")
    # Without a channel layer the sweep finds it.
    async with asyncio.timeout(3 * SWEEP_S):
        for socket in (here, there):
            frames, code = await socket.ending()
            error = {"code": "ACCOUNT_SUSPENDED", "message": SUSPENDED}
            assert (frames, code) == ([{"type": "error", "payload": error}], 4403)
    stranger = await sockets.open()
    for asked, payload in (
        ("login", {"username": a.username, "password": a.password}),
        ("connect", {"sessionToken": a.token}),
    ):
        answer = await stranger.ask(asked, payload)
        assert (answer["payload"]["code"], answer["payload"]["message"]) == ("ACCOUNT_SUSPENDED", SUSPENDED)
    status, body = await ask(nodes.here, "GET", "sessions", token=a.token)
    assert (status, body["code"], body["message"]) == (403, "ACCOUNT_SUSPENDED", SUSPENDED)
    message = chat_message(b, a)
    await sender.send_to_absent(message)
    act(nodes, "lift_suspension", a, "reason='appeal'")
    again = await sockets.resume(a, nodes.here)
    assert await again.message() == message


def act(nodes: Nodes, name: str, subject: Person, arguments: str) -> None:
    """An act of staff, from the server's console."""
    imports = (
        "from uuid import UUID; from accounts.audit.chain import OPERATOR; from accounts.desk import acts"
    )
    call = f"acts.{name}(OPERATOR, UUID({subject.user_id!r}), {arguments})"
    run_in_another_process(nodes.backing, f"{imports}; {call}")


async def test_a_password_changed_in_the_admin_ends_the_sockets_of_its_owner(
    nodes: Nodes, sockets: Sockets
) -> None:
    here, s = await sockets.register(nodes.here)
    there = await sockets.resume(s, nodes.there)
    bystander, b = await sockets.register(nodes.there)
    fields = {
        "old_password": s.password,
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }
    page = admin_of(nodes, s).post("/admin/password_change/", fields)
    assert "Your password was changed." in page
    for socket in (here, there):
        await assert_ended(socket)
    stranger = await sockets.open()
    await stranger.ask("login", {"username": s.username, "password": NEW_PASSWORD})
    await bystander.send_to_present(chat_message(b, b))


async def test_the_admin_shows_no_token_and_no_key(nodes: Nodes, sockets: Sockets) -> None:
    socket, s = await sockets.register()
    served = await socket.ask("getPublicKey", {"userId": s.user_id})
    browser = admin_of(nodes, s)
    key = s.user_id if nodes.backing.name == "distributed" else s.user_id.replace("-", "")
    [(session,)] = query(nodes.backing, "SELECT id FROM accounts_session WHERE user_id = {}", key)
    pages = [
        browser.get(path)
        for path in (
            "/admin/accounts/session/",
            f"/admin/accounts/session/{session}/change/",
            f"/admin/accounts/user/{s.user_id}/change/",
            "/admin/keys/prekeybundle/",
            f"/admin/keys/prekeybundle/{s.user_id}/change/",
        )
    ]
    keys = {served["payload"][name] for name in ("identityPublic", "signedPrekeyPublic", "signature")}
    for page in pages:
        assert "Log in" not in page
        assert s.token not in page
        assert not {each for each in keys if each in page}
        assert "argon2" not in page
