"""Accounts: one name whatever its case, and folded columns that follow."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import Session, User
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def test_an_account_is_found_in_whatever_case_its_name_is_written(alice: User) -> None:
    assert User.objects.get_by_natural_key("aLICE") == alice
    assert alice.username == "Alice"


def test_an_account_is_found_from_an_event_loop_too(alice: User) -> None:
    find = async_to_sync(User.objects.aget_by_natural_key)
    assert find("aLICE") == alice
    with pytest.raises(User.DoesNotExist):
        find("nobody")


def test_staff_log_into_the_admin_in_whatever_case(alice: User) -> None:
    assert authenticate(username="ALICE", password=PASSWORD) == alice
    assert authenticate(username="alice", password="another one") is None


def test_two_names_that_differ_in_case_cannot_be(alice: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username="aLiCe", display_name="Another")
    with pytest.raises(ValidationError, match="already exists"):
        User.objects.create_user("aLiCe")


@pytest.mark.parametrize("username", ["", "ab", "a" * 33, "a b c", "name\n", "nämé", "\uff11\uff12\uff13"])
def test_commands_cannot_make_names_against_the_rules(username: str) -> None:
    with pytest.raises(ValidationError):
        User.objects.create_user(username)
    assert not User.objects.exists()


def test_the_folded_columns_follow_the_names(alice: User) -> None:
    alice.display_name = "STRAßE"
    alice.save()
    alice.refresh_from_db()
    assert (alice.username_folded, alice.display_name_folded) == ("alice", "strasse")


def test_the_folded_columns_follow_a_save_of_single_fields(alice: User) -> None:
    alice.display_name = "QUEEN"
    alice.bio = "unsaved"
    alice.save(update_fields=["display_name"])
    alice.refresh_from_db()
    assert (alice.display_name_folded, alice.bio) == ("queen", "")


def test_an_account_made_by_a_command_is_shown_by_its_username() -> None:
    user = User.objects.create_user("carol")
    assert user.display_name == "carol"
    assert not user.has_usable_password()
    assert not user.is_staff
    assert user.discoverable


def test_no_moment_of_a_login_is_kept(alice: User) -> None:
    assert "last_login" not in {field.name for field in User._meta.get_fields()}


def test_texts_for_staff_name_a_session_by_its_id_alone() -> None:
    session = Session(token_digest=b"d" * 32)
    assert str(session) == f"session {session.pk}"
