"""Every page of the admin that a link leads to, as a superuser: no secret, no other host, one policy."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.db import connections, transaction
from django.db.models import BinaryField, Model
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR, append
from accounts.desk.permissions import write_roles
from accounts.models import Invite, ResetCode, Session, User
from accounts.second_factor.models import RECOVERY, Authenticator
from accounts.second_factor.services import begin
from accounts.services import make_invite, make_reset_code, open_session
from construct_site.admin_path import HEADERS
from keys.models import PrekeyBundle, RetiredPrekey
from keys.services import rotate_prekey
from messaging.mailbox.letters import Caps
from messaging.mailbox.store import get_store
from messaging.models import MailboxMessage
from tests.accounts.conftest import HOME, PASSWORD
from tests.keys.owners import KeyOwner, registered
from tests.messaging.mailbox.conftest import make_letter

pytestmark = pytest.mark.django_db(transaction=True)
OUTSIDE = re.compile(r"""(?:href|src|action|url\()\s*=?\s*["']?(?:https?:)?//""")
LINK = re.compile(r"""(?<![:\w-])(?:href|hx-get|action)="([^"]+)\"""")
BODY = b"what the body of a letter says"


@pytest.fixture
def root() -> User:
    write_roles(apps)
    return User.objects.create_superuser("root", PASSWORD)


@pytest.fixture
def secrets() -> list[bytes]:
    """Of an account that has everything; its rows are what the pages are about."""
    owner = KeyOwner()
    user = registered(owner, "alice")
    user.set_password(PASSWORD)
    user.save()
    update = owner.update()
    rotate_prekey(user.pk, update)
    grant = open_session(user, HOME)
    reset = make_reset_code(user.pk)
    invite = make_invite(3, timedelta(days=1), "for the choir")
    get_store().put([make_letter(user.pk, sealed=BODY)], Caps(100, 10**6, 1), timezone.now())
    authenticator = begin(user)
    codes = [RECOVERY.make()]
    authenticator.recovery_codes.create(digest=RECOVERY.digest(codes[0]))
    with transaction.atomic():
        append(OPERATOR, Action.RENAME, user_id=user.pk, reason="a test", changes={"username": ("a", "b")})
    bundle, session, letter = PrekeyBundle.objects.get(), Session.objects.get(), MailboxMessage.objects.get()
    held = [
        user.password.encode(),
        grant.token.encode(),
        HOME.address.encode(),
        reset.code.encode(),
        invite.code.encode(),
        codes[0].encode(),
        BODY,
        session.token_digest,
        session.address_digest,
        session.address_sealed,
        ResetCode.objects.get().digest,
        Invite.objects.get().digest,
        letter.frame,
        authenticator.secret(),
        authenticator.secret_text().encode(),
        Authenticator.objects.get().secret_sealed,
        RECOVERY.digest(codes[0]),
        *keys_of(bundle),
        *keys_of(RetiredPrekey.objects.get()),
        settings.SECRET_KEY.encode(),
    ]
    return [bytes(each) for each in held if each]


def keys_of(row: Model) -> list[bytes]:
    return [getattr(row, field.attname) for field in row._meta.fields if isinstance(field, BinaryField)]


def forms(secret: bytes) -> Iterator[str]:
    """How bytes can stand in a page."""
    yield secret.decode("latin-1")
    yield secret.hex()
    yield b64encode(secret).decode().rstrip("=")
    yield repr(secret)[2:-1]


async def walk(client: AsyncClient) -> dict[str, str]:
    """The pages by their addresses."""
    root = reverse("admin:index")
    waiting, met = [root], {root}
    pages = {}
    while waiting:
        address = waiting.pop(0)
        answer = await client.get(address)
        if "text/html" not in answer.headers.get("Content-Type", ""):
            continue
        assert answer.status_code in (200, 302, 403), address
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, address
        page = answer.content.decode()
        pages[address] = page
        for link in LINK.findall(page):
            following = urljoin(address, unescape(link))
            path, query = urlsplit(following).path, urlsplit(following).query
            is_new = following not in met and path.startswith(root) and "logout" not in path
            # Orders and filters of a list lead to all their combinations: each alone is enough.
            if is_new and not (query and urlsplit(address).query):
                met.add(following)
                waiting.append(following)
    return pages


async def test_no_page_shows_a_secret_or_asks_another_host(root: User, secrets: list[bytes]) -> None:
    client = AsyncClient()
    await client.aforce_login(root)
    pages = await walk(client)
    assert len(pages) > 20
    alice = await User.objects.aget(username="alice")
    session, invite = await Session.objects.aget(), await Invite.objects.aget()
    for name, args in (
        ("accounts_user_change", [alice.pk]),
        ("accounts_session_change", [session.pk]),
        ("accounts_invite_change", [invite.pk]),
        ("keys_prekeybundle_change", [alice.pk]),
        ("settings", []),
    ):
        assert reverse(f"admin:{name}", args=args) in pages, name
    found = [
        (address, form)
        for address, page in pages.items()
        for secret in secrets
        for form in forms(secret)
        if form in unescape(page)
    ]
    assert found == []
    assert [address for address, page in pages.items() if OUTSIDE.search(page)] == []
    # Django's test client leaves its thread's connection open.
    await sync_to_async(connections.close_all)()


def test_second_factors_have_no_page(client: Client, root: User) -> None:
    """Who could see or edit one could sign in as its owner."""
    client.force_login(root)
    assert client.get(f"{reverse('admin:index')}second_factor/authenticator/").status_code == 404
