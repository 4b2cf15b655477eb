"""``make admin``: a superuser is made by the rules of every account."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from accounts.services import delete_user
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def create(*arguments: str) -> None:
    call_command("createsuperuser", *arguments, stdout=io.StringIO())


def create_by_a_script(monkeypatch: pytest.MonkeyPatch, username: str, password: str = PASSWORD) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    create("--noinput", "--username", username)


def assert_is_superuser(username: str) -> None:
    user = User.objects.get_by_natural_key(username)
    assert (user.is_staff, user.is_superuser, user.discoverable) == (True, True, False)
    assert user.check_password(PASSWORD)
    assert (user.username, user.display_name) == (username, username)


def test_a_superuser_is_made_without_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    create_by_a_script(monkeypatch, "Root")
    assert_is_superuser("Root")


def test_a_superuser_is_made_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda _prompt: "Root")
    monkeypatch.setattr("getpass.getpass", lambda *_: PASSWORD)
    create()
    assert_is_superuser("Root")


@pytest.mark.parametrize(
    ("text", "arguments"), [(f"Root\n{PASSWORD}\n", []), (f"{PASSWORD}\n", ["--username", "Root"])]
)
def test_without_a_terminal_the_input_is_read(
    monkeypatch: pytest.MonkeyPatch, text: str, arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    create(*arguments)
    assert_is_superuser("Root")


def test_without_any_input_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="3 to 32"):
        create()
    monkeypatch.setattr("sys.stdin", None)
    for arguments in ([], ["--username", "Root"]):
        with pytest.raises(CommandError, match="The input is closed"):
            create(*arguments)
    assert not User.objects.exists()


@pytest.mark.parametrize("arguments", [["--username", "Root"], []])
def test_a_script_gives_the_name_and_the_password(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "" if arguments else PASSWORD)
    with pytest.raises(CommandError, match="needs --username and DJANGO_SUPERUSER_PASSWORD"):
        create("--noinput", *arguments)
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("username", "password", "reason"),
    [
        ("ALICE", PASSWORD, "taken"),
        ("a b c", PASSWORD, "3 to 32"),
        ("Root", "short", "8 to 128"),
        ("Root", "password123", "common"),
        ("superuser", "SUPERUSER", "must not be the username"),
    ],
)
def test_the_rules_are_those_of_every_account(
    alice: User, monkeypatch: pytest.MonkeyPatch, username: str, password: str, reason: str
) -> None:
    with pytest.raises(CommandError, match=reason):
        create_by_a_script(monkeypatch, username, password)
    assert list(User.objects.all()) == [alice]


def test_a_name_that_rests_is_refused(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    delete_user(alice)
    with pytest.raises(CommandError, match="taken"):
        create_by_a_script(monkeypatch, "alice")
    assert not User.objects.exists()
