"""A profile whose account goes meanwhile; what a profile may say is tried over HTTP."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection, transaction

from accounts.models import User
from accounts.services import delete_user, read_profile, update_profile
from construct_site.errors import ConstructError, ErrorCode
from tests.messaging.doubles import PATIENCE_S
from tests.messaging.mailbox.conftest import until_someone_waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_session_of_an_account_that_is_gone_has_ended() -> None:
    with pytest.raises(ConstructError) as refusal:
        read_profile(uuid4())
    assert refusal.value.code is ErrorCode.AUTH_REQUIRED
    with pytest.raises(ConstructError) as refusal:
        update_profile(uuid4(), {"bio": "Mine"})
    assert refusal.value.code is ErrorCode.AUTH_REQUIRED


def test_a_change_that_meets_the_deletion_of_its_account_is_told_the_same(alice: User) -> None:
    deleted = threading.Event()

    def change() -> object:
        try:
            deleted.wait(PATIENCE_S)
            return update_profile(alice.pk, {"bio": "Mine"})
        except ConstructError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            changed = pool.submit(change)
            assert delete_user(alice)
            deleted.set()
            until_someone_waits_for_a_lock()
        assert changed.result() is ErrorCode.AUTH_REQUIRED
    assert not User.objects.exists()


def test_a_deletion_that_meets_a_change_comes_after_it(alice: User) -> None:
    changed = threading.Event()

    def delete() -> bool:
        try:
            changed.wait(PATIENCE_S)
            return delete_user(alice)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            deleted = pool.submit(delete)
            assert update_profile(alice.pk, {"bio": "Mine"}).bio == "Mine"
            changed.set()
            until_someone_waits_for_a_lock()
        assert deleted.result()
    assert not User.objects.exists()
