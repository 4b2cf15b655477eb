"""A whole bundle is replaced: the keys change, what was used does not come back, other sessions end."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import time_machine

from accounts.models import Session, User
from accounts.services import SessionHasEnded, delete_user, find_credentials, open_session
from construct_site.errors import ConstructError, ErrorCode
from keys.bundle import Bundle
from keys.models import PrekeyBundle, RetiredIdentity, RetiredPrekey
from keys.services import (
    Replacement,
    fetch_bundle,
    prekey_status,
    replace_bundle,
    rotate_prekey,
)
from tests.accounts.conftest import AWAY, HOME
from tests.keys.owners import KeyOwner, registered, replaced

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
REUSED = ["identity_public", "verifying_key", "signed_prekey_public"]


def refused(user: User, bundle: Bundle) -> ErrorCode:
    before = PrekeyBundle.objects.values().get()
    history = RetiredPrekey.objects.count(), RetiredIdentity.objects.count()
    with pytest.raises(ConstructError) as raised:
        replaced(user, bundle)
    assert PrekeyBundle.objects.values().get() == before
    assert (RetiredPrekey.objects.count(), RetiredIdentity.objects.count()) == history
    return raised.value.code


def reusing(field: str, former: Bundle) -> Bundle:
    """A fresh owner's bundle with one key of a former one (its signature does not matter here)."""
    return replace(KeyOwner().bundle(), **{field: getattr(former, field)})


def test_new_keys_are_served_and_shown_from_then_on(owner: KeyOwner) -> None:
    user, new = registered(owner), KeyOwner().bundle()
    former = prekey_status(user.pk).fingerprint
    assert replaced(user, new) == Replacement(is_new=True, revoked=0)
    served = fetch_bundle(user.pk)
    assert [served.identity_public, served.verifying_key, served.signed_prekey_public, served.signature] == [
        base64.b64encode(each).decode()
        for each in (new.identity_public, new.verifying_key, new.signed_prekey_public, new.signature)
    ]
    assert prekey_status(user.pk).fingerprint != former


def test_the_former_keys_stay_in_the_history(owner: KeyOwner) -> None:
    with time_machine.travel(NOON, tick=False):
        user = registered(owner)
    rotated_at, replaced_at = NOON + timedelta(days=7), NOON + timedelta(days=9)
    update = owner.update()
    with time_machine.travel(rotated_at, tick=False):
        rotate_prekey(user.pk, update)
    with time_machine.travel(replaced_at, tick=False):
        replaced(user)
    identity = RetiredIdentity.objects.get()
    assert bytes(identity.identity_public) == owner.bundle().identity_public
    assert bytes(identity.verifying_key) == owner.bundle().verifying_key
    assert (identity.used_from, identity.retired_at) == (NOON, replaced_at)
    last = RetiredPrekey.objects.latest("pk")
    assert bytes(last.signed_prekey_public) == update.new_prekey_public
    assert (last.used_from, last.retired_at) == (rotated_at, replaced_at)
    present = PrekeyBundle.objects.get()
    assert (present.created_at, present.rotated_at) == (replaced_at, replaced_at)


def test_the_present_bundle_again_succeeds_and_changes_nothing(owner: KeyOwner) -> None:
    user, new = registered(owner), KeyOwner()
    replaced(user, new.bundle())
    before = PrekeyBundle.objects.values().get()
    assert replaced(user, new.bundle()) == Replacement(is_new=False, revoked=0)
    assert PrekeyBundle.objects.values().get() == before
    assert RetiredIdentity.objects.count() == 1


@pytest.mark.parametrize("field", REUSED)
def test_a_key_that_is_in_use_is_refused(field: str, owner: KeyOwner) -> None:
    user = registered(owner)
    assert refused(user, reusing(field, owner.bundle())) is ErrorCode.INVALID_KEY_BUNDLE


@pytest.mark.parametrize("field", REUSED)
def test_a_key_of_the_history_is_refused(field: str, owner: KeyOwner) -> None:
    user = registered(owner)
    replaced(user)
    assert refused(user, reusing(field, owner.bundle())) is ErrorCode.INVALID_KEY_BUNDLE
    assert refused(user, owner.bundle()) is ErrorCode.INVALID_KEY_BUNDLE


def test_a_prekey_that_a_rotation_retired_is_refused(owner: KeyOwner) -> None:
    user, update = registered(owner), owner.update()
    rotate_prekey(user.pk, update)
    rotate_prekey(user.pk, owner.update())
    bundle = replace(KeyOwner().bundle(), signed_prekey_public=update.new_prekey_public)
    assert refused(user, bundle) is ErrorCode.INVALID_KEY_BUNDLE


def test_keys_of_somebody_elses_history_may_be_used(owner: KeyOwner) -> None:
    user = registered(owner)
    other = KeyOwner()
    neighbour = registered(other, "bob")
    replaced(neighbour)
    assert replaced(user, other.bundle()).is_new


def test_rotations_are_signed_by_the_new_key_from_then_on(owner: KeyOwner) -> None:
    user, new = registered(owner), KeyOwner()
    replaced(user, new.bundle())
    with pytest.raises(ConstructError) as raised:
        rotate_prekey(user.pk, owner.update())
    assert raised.value.code is ErrorCode.INVALID_UPDATE
    update = new.update()
    rotate_prekey(user.pk, update)
    with pytest.raises(ConstructError) as raised:
        rotate_prekey(user.pk, new.signed(owner.bundle().signed_prekey_public))
    assert raised.value.code is ErrorCode.INVALID_UPDATE
    assert bytes(PrekeyBundle.objects.get().signed_prekey_public) == update.new_prekey_public


def test_all_sessions_end_but_one(owner: KeyOwner) -> None:
    user = registered(owner)
    kept, *_ = [open_session(user, peer) for peer in (HOME, AWAY, AWAY)]
    assert replaced(user, kept=kept.session_id).revoked == 2
    assert Session.objects.get(revoked_at=None).pk == kept.session_id


def test_a_refused_one_ends_no_session(owner: KeyOwner) -> None:
    user = registered(owner)
    open_session(user, HOME)
    assert refused(user, reusing("identity_public", owner.bundle())) is ErrorCode.INVALID_KEY_BUNDLE
    assert Session.objects.get().revoked_at is None


def test_a_password_that_was_changed_meanwhile_is_refused(owner: KeyOwner) -> None:
    user = registered(owner)
    credentials = find_credentials(user.username)
    assert credentials
    open_session(user, HOME)
    User.objects.update(password="argon2$other")
    with pytest.raises(ConstructError) as raised:
        replace_bundle(credentials, KeyOwner().bundle(), kept=None)
    assert raised.value.code is ErrorCode.INVALID_CREDENTIALS
    assert not RetiredIdentity.objects.exists()
    assert Session.objects.get().revoked_at is None


def test_a_session_that_ended_meanwhile_changes_no_keys(owner: KeyOwner) -> None:
    user, new = registered(owner), KeyOwner()
    first, second = (open_session(user, peer) for peer in (HOME, AWAY))
    replaced(user, new.bundle(), kept=first.session_id)
    attempts: list[Callable[[], object]] = [
        partial(replaced, user, kept=second.session_id),
        partial(rotate_prekey, user.pk, new.update(), asked_by=second.session_id),
    ]
    for attempt in attempts:
        with pytest.raises(SessionHasEnded):
            attempt()
    assert bytes(PrekeyBundle.objects.get().identity_public) == new.bundle().identity_public
    assert Session.objects.get(revoked_at=None).pk == first.session_id
    rotate_prekey(user.pk, new.update(), asked_by=first.session_id)


def test_nobody_without_a_bundle_replaces_one() -> None:
    with pytest.raises(ConstructError) as raised:
        replaced(User.objects.create_user("staff"))
    assert raised.value.code is ErrorCode.USER_NOT_FOUND


def test_the_history_goes_with_its_owner_and_shows_no_keys(owner: KeyOwner) -> None:
    user = registered(owner)
    replaced(user)
    retired = RetiredIdentity.objects.get()
    assert str(retired) == f"identity {retired.pk} of {user.pk}"
    delete_user(user)
    assert not RetiredIdentity.objects.exists()
