"""Bundles are stored, served and rotated."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import uuid4

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from accounts.services import delete_user
from construct_site.errors import ConstructError, ErrorCode
from keys.bundle import PrekeyUpdate
from keys.models import PrekeyBundle, RetiredPrekey
from keys.services import ServedBundle, count_stale, fetch_bundle, rotate_prekey, store_first_bundle
from tests.keys.owners import KeyOwner, registered

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(user: User, update: PrekeyUpdate) -> ErrorCode:
    with pytest.raises(ConstructError) as raised:
        rotate_prekey(user.pk, update)
    return raised.value.code


def test_a_bundle_is_served_as_it_was_stored(owner: KeyOwner) -> None:
    user, bundle = registered(owner), owner.bundle()
    assert fetch_bundle(user.pk) == ServedBundle(
        user_id=user.pk,
        username="alice",
        identity_public=b64(bundle.identity_public),
        signed_prekey_public=b64(bundle.signed_prekey_public),
        signature=b64(bundle.signature),
        verifying_key=b64(bundle.verifying_key),
        is_stale=False,
    )


def test_an_account_has_one_bundle(owner: KeyOwner) -> None:
    user = registered(owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        store_first_bundle(user, KeyOwner().bundle())
    assert PrekeyBundle.objects.count() == 1


def test_there_is_nothing_to_serve_of_nobody_and_of_an_account_without_a_bundle() -> None:
    for user_id in (uuid4(), User.objects.create_user("staff").pk):
        with pytest.raises(ConstructError) as raised:
            fetch_bundle(user_id)
        assert raised.value.code is ErrorCode.USER_NOT_FOUND


def test_the_bundle_of_a_suspended_user_is_served(owner: KeyOwner) -> None:
    user = registered(owner)
    User.objects.update(is_active=False)
    assert fetch_bundle(user.pk).username == "alice"


def test_a_stale_bundle_is_served_and_marked(owner: KeyOwner) -> None:
    with time_machine.travel(NOON, tick=False):
        user = registered(owner)
    with time_machine.travel(NOON + timedelta(days=31), tick=False):
        assert fetch_bundle(user.pk).is_stale
        rotate_prekey(user.pk, owner.update())
        assert not fetch_bundle(user.pk).is_stale


def test_a_rotation_replaces_the_prekey_and_keeps_the_history(owner: KeyOwner) -> None:
    with time_machine.travel(NOON, tick=False):
        user = registered(owner)
    update = owner.update()
    later = NOON + timedelta(days=7)
    with time_machine.travel(later, tick=False):
        rotate_prekey(user.pk, update)
    served = fetch_bundle(user.pk)
    assert served.signed_prekey_public == b64(update.new_prekey_public)
    assert served.signature == b64(update.signature)
    assert served.identity_public == b64(owner.bundle().identity_public)
    retired = RetiredPrekey.objects.get()
    assert bytes(retired.signed_prekey_public) == owner.bundle().signed_prekey_public
    assert (retired.used_from, retired.retired_at) == (NOON, later)
    assert PrekeyBundle.objects.get().rotated_at == later


def test_a_rotation_to_the_present_prekey_succeeds_and_changes_nothing(owner: KeyOwner) -> None:
    user, update = registered(owner), owner.update()
    rotate_prekey(user.pk, update)
    before = PrekeyBundle.objects.values().get()
    rotate_prekey(user.pk, update)
    assert PrekeyBundle.objects.values().get() == before
    assert RetiredPrekey.objects.count() == 1


def test_a_rotation_back_is_refused(owner: KeyOwner) -> None:
    user = registered(owner)
    first, second = owner.signed(owner.bundle().signed_prekey_public), owner.update()
    rotate_prekey(user.pk, second)
    assert refused(user, first) is ErrorCode.INVALID_UPDATE
    rotate_prekey(user.pk, owner.update())
    assert refused(user, second) is ErrorCode.INVALID_UPDATE
    assert RetiredPrekey.objects.count() == 2


def test_a_prekey_of_somebody_elses_history_may_be_used(owner: KeyOwner) -> None:
    other = KeyOwner()
    user, neighbour = registered(owner), registered(other, "bob")
    update = other.update()
    rotate_prekey(neighbour.pk, update)
    rotate_prekey(neighbour.pk, other.update())
    rotate_prekey(user.pk, owner.signed(update.new_prekey_public))
    assert fetch_bundle(user.pk).signed_prekey_public == b64(update.new_prekey_public)


def test_a_rotation_is_signed_by_the_stored_key(owner: KeyOwner) -> None:
    user = registered(owner)
    assert refused(user, KeyOwner().update()) is ErrorCode.INVALID_UPDATE
    assert refused(user, PrekeyUpdate(owner.update().new_prekey_public, bytes(64))) is (
        ErrorCode.INVALID_UPDATE
    )
    current = PrekeyUpdate(owner.bundle().signed_prekey_public, bytes(64))
    assert refused(user, current) is ErrorCode.INVALID_UPDATE
    assert not RetiredPrekey.objects.exists()


def test_nobody_without_a_bundle_rotates(owner: KeyOwner) -> None:
    assert refused(User.objects.create_user("staff"), owner.update()) is ErrorCode.USER_NOT_FOUND


def test_keys_and_their_history_go_with_their_owner(owner: KeyOwner) -> None:
    user = registered(owner)
    rotate_prekey(user.pk, owner.update())
    delete_user(user)
    assert not PrekeyBundle.objects.exists()
    assert not RetiredPrekey.objects.exists()


def test_texts_for_staff_show_no_keys(owner: KeyOwner) -> None:
    user = registered(owner)
    rotate_prekey(user.pk, owner.update())
    assert str(PrekeyBundle.objects.get()) == f"bundle of {user.pk}"
    assert str(user.pk) in str(RetiredPrekey.objects.get())


@pytest.mark.django_db(transaction=True)
def test_rotations_at_once_leave_one_line_of_history(owner: KeyOwner) -> None:
    user = registered(owner)
    updates = [owner.update() for _ in range(6)]
    # Two of each: one of them changes nothing or comes too late.
    barrier = Barrier(2 * len(updates))

    def rotate(update: PrekeyUpdate) -> ErrorCode | None:
        barrier.wait()
        try:
            rotate_prekey(user.pk, update)
        except ConstructError as error:
            return error.code
        finally:
            connection.close()
        return None

    with ThreadPoolExecutor(barrier.parties) as pool:
        outcomes = set(pool.map(rotate, updates * 2))
    assert outcomes <= {None, ErrorCode.INVALID_UPDATE}
    bundle = PrekeyBundle.objects.get()
    history = list(RetiredPrekey.objects.order_by("id"))
    assert len(history) == len(updates)
    used = [bytes(row.signed_prekey_public) for row in history] + [bytes(bundle.signed_prekey_public)]
    assert used[0] == owner.bundle().signed_prekey_public
    assert set(used[1:]) == {update.new_prekey_public for update in updates}
    followers = [*(row.used_from for row in history[1:]), bundle.rotated_at]
    assert [row.retired_at for row in history] == followers


def test_prekeys_are_counted_as_stale_when_they_are_marked_so() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    for days in (29, 30, 31):
        user = registered(KeyOwner(), f"user{days}")
        PrekeyBundle.objects.filter(pk=user.pk).update(rotated_at=now - timedelta(days=days))
    with time_machine.travel(now, tick=False):
        assert count_stale(now) == len([each for each in PrekeyBundle.objects.all() if each.is_stale]) == 2
