"""``make admin``: Django's own command on our accounts."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_superuser_is_made_without_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", "--noinput", "--username", "Root", verbosity=0)
    user = User.objects.get_by_natural_key("root")
    assert user.is_staff
    assert user.is_superuser
    assert user.check_password(PASSWORD)
    assert user.display_name == "Root"
    assert not user.discoverable


def test_a_superuser_is_made_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["x", "Root"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(answers))
    monkeypatch.setattr("getpass.getpass", lambda *_: PASSWORD)
    refusals = io.StringIO()
    call_command("createsuperuser", stdin=Terminal(), stderr=refusals, verbosity=0)
    assert "3 to 32" in refusals.getvalue()
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.parametrize(("username", "reason"), [("ALICE", "already taken"), ("a b c", "3 to 32")])
def test_a_name_that_cannot_be_is_refused_in_words(
    alice: User, monkeypatch: pytest.MonkeyPatch, username: str, reason: str
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    with pytest.raises(CommandError, match=reason):
        call_command("createsuperuser", "--noinput", "--username", username, verbosity=0)
    assert list(User.objects.all()) == [alice]
