"""``manage.py export_user``: the same export for operators, without addresses."""

from __future__ import annotations

import io
import json
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from accounts.services import open_session
from messaging.management.commands.export_user import _write_new
from tests.accounts.conftest import HOME
from tests.keys.owners import KeyOwner, registered

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(transactional_db: None) -> User:
    user = registered(KeyOwner(), "Alice")
    open_session(user, HOME)
    return user


def run(*arguments: str) -> str:
    """What the command writes."""
    output = io.StringIO()
    call_command("export_user", *arguments, stdout=output)
    return output.getvalue()


@contextmanager
def no_file_larger_than(limit_bytes: int) -> Iterator[None]:
    """The system refuses this process larger files: what a full disk does, in the same place."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_it_prints_the_export_without_addresses(alice: User) -> None:
    printed = run("aLICE")
    told = json.loads(printed)
    assert (told["format"], told["account"]["userId"]) == ("construct-export/1", str(alice.pk))
    assert told["sessions"]["newest"][0]["label"] == HOME.client_label
    assert HOME.address not in printed


def test_what_people_wrote_cannot_steer_the_terminal(alice: User) -> None:
    User.objects.update(bio="\u202ea\u009b2J\u2028b")
    printed = run("alice")
    assert printed.isascii()
    assert json.loads(printed)["account"]["bio"] == "\u202ea\u009b2J\u2028b"


def test_a_file_is_for_its_owner_alone(alice: User, tmp_path: Path) -> None:
    file = tmp_path / "alice.json"
    assert run("alice", "--output", str(file)) == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["account"]["username"] == "Alice"


def test_a_file_that_is_there_is_not_written_over(alice: User, tmp_path: Path) -> None:
    file, link = tmp_path / "alice.json", tmp_path / "link.json"
    file.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere.json")
    for path in (file, link):
        with pytest.raises(CommandError, match="there already"):
            run("alice", "--output", str(path))
    assert file.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alice.json", "link.json"]


def test_a_file_that_cannot_be_made_is_refused_in_one_line(alice: User, tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refusal:
        run("alice", "--output", str(tmp_path / "nowhere" / "alice.json"))
    assert str(refusal.value) == "The file cannot be written: No such file or directory."


def test_a_file_that_cannot_be_finished_is_not_left(tmp_path: Path) -> None:
    limit = 4096
    file = tmp_path / "alice.json"
    # The whole command would write to the database, too.
    with no_file_larger_than(limit), pytest.raises(CommandError, match="cannot be written: File too large"):
        _write_new(file, "x" * 2 * limit)
    assert not file.exists()


@pytest.mark.parametrize("username", ["nobody", "", "a b", "\udcff" * 3])
def test_a_name_that_nobody_has_is_refused(alice: User, username: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no account of this name"):
        run(username, "--output", str(tmp_path / "nobody.json"))
    assert list(tmp_path.iterdir()) == []
