"""Prekey bundles in the admin: ages and counts, no keys."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from accounts.models import User
from keys.models import PrekeyBundle
from keys.services import rotate_prekey
from tests.accounts.conftest import PASSWORD
from tests.keys.owners import KeyOwner, registered, replaced

pytestmark = pytest.mark.django_db
BUNDLES = reverse("admin:keys_prekeybundle_changelist")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def root(client: Client) -> Client:
    """A browser of a superuser."""
    client.force_login(User.objects.create_superuser("root", PASSWORD))
    return client


def page_of(user: User, page: str = "change") -> str:
    return reverse(f"admin:keys_prekeybundle_{page}", args=[user.pk])


def cells(page: str, column: str) -> list[str]:
    """What stands in the column of a list."""
    return re.findall(rf'<td class="[^"]*\bfield-{column}\b[^>]*>([^<]*)</td>', page)


def test_no_page_shows_key_material(root: Client, owner: KeyOwner) -> None:
    user, update = registered(owner), owner.update()
    rotate_prekey(user.pk, update)
    bundle = owner.bundle()
    material = [
        bundle.identity_public,
        bundle.verifying_key,
        bundle.signed_prekey_public,
        update.new_prekey_public,
        update.signature,
    ]
    for page in (BUNDLES, page_of(user)):
        answer = root.get(page)
        assert answer.status_code == 200
        text = answer.content.decode()
        for key in material:
            assert base64.b64encode(key).decode() not in text
            assert key.hex() not in text
            assert repr(key) not in text


def test_the_list_tells_owner_and_number_of_rotations(root: Client, owner: KeyOwner) -> None:
    user = registered(owner)
    for _ in range(3):
        rotate_prekey(user.pk, owner.update())
    text = root.get(BUNDLES).content.decode()
    assert page_of(user) in text
    assert cells(text, "rotations") == ["3"]
    assert re.search(r"readonly[^>]*>\s*3\s*<", root.get(page_of(user)).content.decode())


def test_replacements_are_told_apart_from_rotations(root: Client, owner: KeyOwner) -> None:
    user = registered(owner)
    rotate_prekey(user.pk, owner.update())
    rotate_prekey(user.pk, owner.update())
    for _ in range(3):
        replaced(user)
    text = root.get(BUNDLES).content.decode()
    assert (cells(text, "rotations"), cells(text, "replacements")) == (["2"], ["3"])


def test_stale_bundles_are_marked_and_filtered(root: Client, owner: KeyOwner) -> None:
    with time_machine.travel(NOW - timedelta(days=40), tick=False):
        old = registered(owner, "old")
    with time_machine.travel(NOW, tick=False):
        root.force_login(User.objects.get(username="root"))
        new = registered(KeyOwner(), "new")

        def listed(state: str) -> set[str]:
            text = root.get(BUNDLES, {"prekey": state} if state else {}).content.decode()
            return {user.username for user in (old, new) if page_of(user) in text}

        assert listed("stale") == {"old"}
        assert listed("fresh") == {"new"}
        assert listed("") == {"old", "new"}
        assert 'title="True"' in root.get(page_of(old)).content.decode()
        assert 'title="True"' not in root.get(page_of(new)).content.decode()


def test_a_bundle_is_only_shown(root: Client, owner: KeyOwner) -> None:
    user = registered(owner)
    before = PrekeyBundle.objects.values().get()
    assert root.get(reverse("admin:keys_prekeybundle_add")).status_code == 403
    assert root.post(page_of(user), {"created_at": "2020-01-01"}).status_code == 403
    assert root.post(page_of(user, "delete"), {"post": "yes"}).status_code == 403
    assert PrekeyBundle.objects.values().get() == before


def test_a_user_with_keys_is_deleted_from_the_page_of_users(root: Client, owner: KeyOwner) -> None:
    user = registered(owner)
    page = f"{reverse('admin:user_act', args=['delete'])}?ids={user.pk}"
    assert root.get(page).status_code == 200
    assert root.post(page, {"reason": "why"}).status_code == 302
    assert not PrekeyBundle.objects.exists()
