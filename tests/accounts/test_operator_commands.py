"""The commands of operators: they act through the services, and refuse in one line."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import FormerName, Invite, ResetCode, Session, UsedChallenge, User
from accounts.services import delete_user, find_reset_code, list_sessions, make_reset_code, open_session
from construct_site.errors import ConstructError
from tests.accounts.conftest import AWAY, HOME, PASSWORD

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """What the command writes."""
    output = io.StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def type_lines(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_live_sessions_are_listed_without_addresses(alice: User) -> None:
    grants = [open_session(alice, peer) for peer in (HOME, AWAY)]
    listed = run("list_sessions", "ALICE")
    assert len(listed.splitlines()) == 2
    for grant, peer in zip(grants, (HOME, AWAY), strict=True):
        assert str(grant.session_id) in listed
        assert peer.client_label in listed
        assert peer.address not in listed
        assert grant.token not in listed


def test_where_no_session_is_live_the_list_says_so(alice: User) -> None:
    assert run("list_sessions", "alice") == "The account has no live session.\n"


def test_a_client_label_cannot_steer_the_terminal(alice: User) -> None:
    Session.objects.filter(pk=open_session(alice, HOME).session_id).update(client_label="a\x1b[2J\nb")
    assert r"a\x1b[2J\nb" in run("list_sessions", "alice")


def test_one_session_or_all_are_revoked(alice: User) -> None:
    first, second, third = (open_session(alice, HOME).session_id for _ in range(3))
    assert run("revoke_sessions", "alice", "--id", str(first)) == "1 sessions revoked.\n"
    assert {session.id for session in list_sessions(alice.pk)} == {second, third}
    assert run("revoke_sessions", "alice") == "2 sessions revoked.\n"
    assert list_sessions(alice.pk) == []


def test_a_session_of_somebody_else_is_not_revoked(alice: User) -> None:
    other = open_session(User.objects.create_user("bob", PASSWORD), HOME)
    for session_id in (other.session_id, uuid4()):
        with pytest.raises(CommandError, match="no such session"):
            run("revoke_sessions", "alice", "--id", str(session_id))
    assert len(list_sessions(other.user_id)) == 1


@pytest.mark.parametrize(
    "command", ["list_sessions", "revoke_sessions", "delete_user", "make_reset_code", "changepassword"]
)
@pytest.mark.parametrize("username", ["nobody", "", "a b", "\udcff" * 3, "x" * 1000])
def test_a_name_that_nobody_has_is_refused(alice: User, command: str, username: str) -> None:
    with pytest.raises(CommandError, match="There is no account of this name"):
        run(command, username)
    assert list(User.objects.all()) == [alice]


@pytest.mark.parametrize("typed", ["no", "alice", ""])
def test_an_account_stays_unless_its_name_is_written_again(
    alice: User, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda _prompt: typed)
    with pytest.raises(CommandError, match="Nothing was deleted"):
        run("delete_user", "alice")
    assert list(User.objects.all()) == [alice]


def test_an_account_stays_where_nobody_can_be_asked(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    type_lines(monkeypatch, "")
    with pytest.raises(CommandError, match="Nothing was deleted"):
        run("delete_user", "alice")
    assert list(User.objects.all()) == [alice]


@pytest.mark.parametrize("arguments", [["--yes"], []])
def test_an_account_is_deleted_and_its_name_rests(
    alice: User, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    open_session(alice, HOME)
    monkeypatch.setattr("builtins.input", lambda _prompt: "Alice")
    run("delete_user", "alice", *arguments)
    assert not User.objects.exists()
    assert not Session.objects.exists()
    assert FormerName.objects.count() == 1


def test_a_reset_code_is_printed_with_its_end_and_nothing_else_changes(alice: User) -> None:
    grant = open_session(alice, HOME)
    code, end = run("make_reset_code", "ALICE").splitlines()
    assert find_reset_code(code).user_id == alice.pk
    assert end == f"It works once, until {ResetCode.objects.get().expires_at:%Y-%m-%d %H:%M} UTC."
    assert [session.id for session in list_sessions(alice.pk)] == [grant.session_id]
    assert not User.objects.get().must_reset_password


def test_a_reset_can_be_required_with_its_code(alice: User) -> None:
    open_session(alice, HOME)
    code = run("make_reset_code", "alice", "--require").splitlines()[0]
    assert find_reset_code(code).user_id == alice.pk
    assert list_sessions(alice.pk) == []
    assert User.objects.get().must_reset_password


def test_staff_is_made_with_a_password_from_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    type_lines(monkeypatch, PASSWORD + "\n")
    assert PASSWORD not in run("create_staff", "Moderator")
    user = User.objects.get_by_natural_key("moderator")
    assert (user.is_staff, user.is_superuser, user.discoverable) == (True, False, False)
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("username", "password"),
    [("ALICE", PASSWORD), ("a b c", PASSWORD), ("\udcff" * 3, PASSWORD), ("moderator", "short")],
)
def test_staff_of_a_bad_name_or_a_weak_password_is_refused(
    alice: User, monkeypatch: pytest.MonkeyPatch, username: str, password: str
) -> None:
    type_lines(monkeypatch, password)
    with pytest.raises(CommandError) as refusal:
        run("create_staff", username)
    assert len(str(refusal.value).splitlines()) == 1
    assert list(User.objects.all()) == [alice]


def test_staff_gets_no_name_that_rests(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    delete_user(alice)
    type_lines(monkeypatch, PASSWORD)
    with pytest.raises(CommandError):
        run("create_staff", "alice")
    assert not User.objects.exists()


def test_a_purge_deletes_what_housekeeping_deletes(alice: User) -> None:
    live, old = (open_session(alice, HOME).session_id for _ in range(2))
    long_ago = timezone.now() - timedelta(days=3650)
    Session.objects.filter(pk=old).update(expires_at=long_ago)
    FormerName.objects.create(digest=bytes(16), free_at=long_ago)
    Invite.objects.create(digest=bytes(16), uses_left=1, created_at=long_ago, expires_at=long_ago)
    UsedChallenge.objects.create(digest=bytes(16), expires_at=long_ago)
    make_reset_code(alice.pk)
    ResetCode.objects.update(expires_at=long_ago)
    assert run("purge") == "5 rows deleted.\n"
    assert [session.id for session in list_sessions(alice.pk)] == [live]
    assert run("purge") == "0 rows deleted.\n"
    assert Session.objects.count() == 1


def test_a_refusal_is_one_line_and_exit_code_1() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "list_sessions", "a b"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "CommandError: There is no account of this name.\n"
    assert done.stdout == ""


def test_another_password_ends_the_sessions_and_the_reset_code(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_session(alice, HOME)
    code = make_reset_code(alice.pk).code
    type_lines(monkeypatch, "another horse battery\n")
    assert run("changepassword", "ALICE") == "The password is changed. 1 sessions ended.\n"
    alice.refresh_from_db()
    assert alice.check_password("another horse battery")
    assert list_sessions(alice.pk) == []
    with pytest.raises(ConstructError):
        find_reset_code(code)


@pytest.mark.parametrize("password", ["", "short", "Alice", "password123"])
def test_a_weak_password_is_refused_by_the_command_too(
    alice: User, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    open_session(alice, HOME)
    type_lines(monkeypatch, password + "\n")
    with pytest.raises(CommandError):
        run("changepassword", "alice")
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert len(list_sessions(alice.pk)) == 1
