"""Password-reset codes: one use, for a day, and the account is its owner's again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, Settings

from accounts import services
from accounts.authentication import _open
from accounts.models import ResetCode, Session, User
from accounts.services import (
    FoundResetCode,
    delete_user,
    find_credentials,
    find_reset_code,
    make_invite,
    make_reset_code,
    open_session,
    purge_reset_codes,
    redeem_reset_code,
    replace_password,
    require_password_reset,
)
from construct_site.errors import ConstructError
from construct_site.events import SessionsEnded
from tests.accounts.conftest import AWAY, HOME
from tests.messaging.mailbox.conftest import until_someone_waits_for_a_lock

DAY = timedelta(days=1)
ENCODED = "argon2$another hash"
in_one_thread = pytest.mark.django_db
in_threads = pytest.mark.django_db(transaction=True)


def refusal(work: Callable[[], object]) -> tuple[str, str]:
    """The code and the text with which `work` is refused."""
    with pytest.raises(ConstructError) as refused:
        work()
    return refused.value.code.value, refused.value.text


def outcome(work: Callable[[], object]) -> str:
    """The code of a refusal, else `done`. For a thread, whose connection it gives back."""
    try:
        work()
    except ConstructError as error:
        return error.code.value
    else:
        return "done"
    finally:
        connection.close()


def outcome_of_second(first: Callable[[], object], second: Callable[[], object]) -> str:
    """`second` begins in another thread while `first` is done and not committed."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            begun = pool.submit(outcome, second)
            until_someone_waits_for_a_lock()
        return begun.result()


def log_in(username: str = "alice") -> services.Grant:
    """What a login does once the password was right."""
    credentials = find_credentials(username)
    assert credentials is not None
    grant, _ = _open(credentials, HOME)
    return grant


def made_for(user: User) -> FoundResetCode:
    return find_reset_code(make_reset_code(user.pk).code)


@in_one_thread
class TestMaking:
    def test_a_code_lives_for_a_day_and_is_stored_nowhere(self, alice: User) -> None:
        with CaptureQueriesContext(connection) as queries:
            made = make_reset_code(alice.pk)
        assert made.code.startswith("construct_reset_")
        stored = ResetCode.objects.get()
        assert (stored.user_id, stored.expires_at) == (alice.pk, made.expires_at)
        assert timedelta(hours=23) < made.expires_at - timezone.now() <= DAY
        secret = made.code.removeprefix("construct_reset_")
        assert not [query for query in queries.captured_queries if secret in query["sql"]]
        assert secret.encode() not in bytes(stored.digest)
        assert secret not in repr(made)
        assert secret not in str(stored)

    def test_its_life_is_a_setting(self, alice: User, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, reset_code_s=60)
        assert make_reset_code(alice.pk).expires_at <= timezone.now() + timedelta(seconds=60)

    def test_a_new_code_replaces_the_earlier_one_of_the_same_user(self, alice: User) -> None:
        of_bob = make_reset_code(User.objects.create_user("bob").pk)
        first, second = (make_reset_code(alice.pk) for _ in range(2))
        assert refusal(lambda: find_reset_code(first.code))[0] == "INVALID_CREDENTIALS"
        assert find_reset_code(second.code).user_id == alice.pk
        assert find_reset_code(of_bob.code).username == "bob"

    def test_nobody_gets_none(self) -> None:
        assert refusal(lambda: make_reset_code(uuid4()))[0] == "USER_NOT_FOUND"


@in_one_thread
class TestRedeeming:
    def test_the_password_is_another_and_all_sessions_end(
        self, alice: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        for peer in (HOME, AWAY):
            open_session(alice, peer)
        bystander = open_session(User.objects.create_user("bob"), HOME)
        found = made_for(alice)
        with django_capture_on_commit_callbacks() as callbacks:
            redeem_reset_code(found, ENCODED)
        sent: list[Any] = callbacks
        assert {callback.args[0] for callback in sent} == {SessionsEnded(alice.pk)}
        assert User.objects.get(pk=alice.pk).password == ENCODED
        live = Session.objects.filter(revoked_at=None)
        assert [session.pk for session in live] == [bystander.session_id]

    def test_a_code_works_once(self, alice: User) -> None:
        made = make_reset_code(alice.pk)
        found = find_reset_code(made.code)
        redeem_reset_code(found, ENCODED)
        assert not ResetCode.objects.exists()
        for again in (lambda: find_reset_code(made.code), lambda: redeem_reset_code(found, "argon2$a third")):
            assert refusal(again)[0] == "INVALID_CREDENTIALS"
        assert User.objects.get().password == ENCODED

    def test_a_refused_redemption_changes_nothing(self, alice: User) -> None:
        found = made_for(alice)
        grant = open_session(alice, HOME)
        ResetCode.objects.update(expires_at=timezone.now())
        assert refusal(lambda: redeem_reset_code(found, ENCODED))[0] == "INVALID_CREDENTIALS"
        assert User.objects.get().password == alice.password
        assert Session.objects.get(revoked_at=None).pk == grant.session_id
        assert ResetCode.objects.exists()

    def test_every_code_that_is_none_is_refused_in_the_same_words_after_the_same_query(
        self, alice: User, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        bob, carol = (User.objects.create_user(name) for name in ("bob", "carol"))
        used, expired, replaced = (make_reset_code(user.pk).code for user in (bob, carol, alice))
        redeem_reset_code(find_reset_code(used), ENCODED)
        ResetCode.objects.filter(user=carol).update(expires_at=timezone.now())
        good = make_reset_code(alice.pk).code
        secret, settings.SECRET_KEY = (
            settings.SECRET_KEY,
            "the secret key of another server, as long as it must be",
        )
        foreign = make_reset_code(bob.pk).code
        settings.SECRET_KEY = secret
        wrong = good[:-4] + "----"
        other = [
            make_invite(1, DAY).code,
            log_in().token,
            good.upper(),
            good + " ",
            "",
            "\x00",
            "\ud800",
            "x" * 10**6,
        ]
        answers = set()
        for code in (used, expired, replaced, foreign, wrong, *other):
            with django_assert_num_queries(1):
                answers.add(refusal(partial(find_reset_code, code)))
        assert answers == {("INVALID_CREDENTIALS", "This reset code is unknown, used, replaced or expired.")}
        assert find_reset_code(good).user_id == alice.pk

    def test_any_other_change_of_the_password_ends_the_code(self, alice: User) -> None:
        found = made_for(alice)
        credentials = find_credentials("alice")
        assert credentials is not None
        replace_password(credentials, ENCODED, kept=None)
        assert refusal(lambda: redeem_reset_code(found, "argon2$a third"))[0] == "INVALID_CREDENTIALS"
        assert User.objects.get().password == ENCODED


@in_one_thread
class TestRequiring:
    def test_sessions_end_and_logins_are_refused_until_a_code_is_redeemed(self, alice: User) -> None:
        open_session(alice, HOME)
        require_password_reset(alice.pk)
        assert not Session.objects.filter(revoked_at=None).exists()
        assert refusal(log_in)[0] == "PASSWORD_RESET_REQUIRED"
        redeem_reset_code(made_for(alice), ENCODED)
        assert log_in().user_id == alice.pk

    def test_a_code_that_was_made_before_still_works(self, alice: User) -> None:
        found = made_for(alice)
        require_password_reset(alice.pk)
        redeem_reset_code(found, ENCODED)
        assert log_in().user_id == alice.pk

    def test_nobody_is_required_to(self) -> None:
        assert refusal(lambda: require_password_reset(uuid4()))[0] == "USER_NOT_FOUND"


@in_one_thread
def test_expired_codes_are_purged_and_the_others_stay(alice: User) -> None:
    make_reset_code(User.objects.create_user("bob").pk)
    now = timezone.now()
    ResetCode.objects.update(expires_at=now)
    made_for(alice)
    assert purge_reset_codes(now) == 1
    assert ResetCode.objects.get().user_id == alice.pk


@in_threads
class TestAtOnce:
    def test_of_two_redemptions_one_wins(self, alice: User) -> None:
        found = made_for(alice)
        barrier = Barrier(2)

        def attempt(encoded: str) -> str:
            barrier.wait()
            return outcome(lambda: redeem_reset_code(found, encoded))

        hashes = ["argon2$first", "argon2$second"]
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(attempt, hashes))
        assert sorted(outcomes) == ["INVALID_CREDENTIALS", "done"]
        assert User.objects.get().password == hashes[outcomes.index("done")]

    def test_a_redemption_waits_for_another_and_finds_the_code_used(self, alice: User) -> None:
        found = made_for(alice)
        first, second = (partial(redeem_reset_code, found, encoded) for encoded in (ENCODED, "argon2$late"))
        assert outcome_of_second(first, second) == "INVALID_CREDENTIALS"
        assert User.objects.get().password == ENCODED

    def test_a_redemption_waits_for_a_new_code_and_finds_its_own_replaced(self, alice: User) -> None:
        second = partial(redeem_reset_code, made_for(alice), ENCODED)
        assert outcome_of_second(lambda: make_reset_code(alice.pk), second) == "INVALID_CREDENTIALS"
        assert User.objects.get().password == alice.password

    def test_a_redemption_during_a_deletion_finds_nothing(self, alice: User) -> None:
        redeem = partial(redeem_reset_code, made_for(alice), ENCODED)
        assert outcome_of_second(lambda: delete_user(alice), redeem) == "INVALID_CREDENTIALS"
        assert not User.objects.exists()

    def test_a_code_that_is_made_during_a_deletion_finds_nobody(self, alice: User) -> None:
        make = partial(make_reset_code, alice.pk)
        assert outcome_of_second(lambda: delete_user(alice), make) == "USER_NOT_FOUND"
        assert not ResetCode.objects.exists()

    def test_a_deletion_waits_for_a_redemption(self, alice: User) -> None:
        redeem = partial(redeem_reset_code, made_for(alice), ENCODED)
        assert outcome_of_second(redeem, lambda: delete_user(alice)) == "done"
        assert not User.objects.exists()

    @pytest.mark.parametrize("first", [lambda: make_reset_code(User.objects.get().pk), log_in])
    def test_a_deletion_takes_along_what_was_stored_just_before_it_held_the_account(
        self, alice: User, first: Callable[[], object]
    ) -> None:
        assert outcome_of_second(first, lambda: delete_user(alice)) == "done"
        assert not User.objects.exists()
        assert not Session.objects.exists()
        assert not ResetCode.objects.exists()

    def test_a_login_of_the_moment_does_not_outlive_a_required_reset(self, alice: User) -> None:
        assert outcome_of_second(log_in, lambda: require_password_reset(alice.pk)) == "done"
        assert Session.objects.count() == 1
        assert not Session.objects.filter(revoked_at=None).exists()

    def test_a_login_during_a_required_reset_is_refused(self, alice: User) -> None:
        assert (
            outcome_of_second(lambda: require_password_reset(alice.pk), log_in) == "PASSWORD_RESET_REQUIRED"
        )
