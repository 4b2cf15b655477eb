"""The audit's chain: what is appended, and what becomes of it when somebody meddles with the database."""

from __future__ import annotations

import base64
import io
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction
from django.db.transaction import TransactionManagementError
from pytest_django import Settings

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR, SYSTEM, Actor, Head, append, read_head
from accounts.audit.models import REASON_CHARS, AuditDetails, AuditEntry, AuditHead
from accounts.audit.verification import verify
from accounts.models import User
from accounts.services import delete_user
from construct_site.errors import ConstructError

pytestmark = pytest.mark.django_db(transaction=True)
STAFF = Actor.staff(UUID(int=7))


def add(action: Action = Action.SUSPEND, actor: Actor = STAFF, **parts: Any) -> AuditEntry:
    with transaction.atomic():
        return append(actor, action, **parts)


def rewrite(statement: str, *values: int) -> None:
    """What somebody does who has the database, its schema too, and not the server's keys."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER audit_append_only")
            cursor.execute(statement, values)
            cursor.execute("ALTER TABLE audit_auditentry ENABLE TRIGGER audit_append_only")
        else:
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'audit_append_only'")
            (trigger,) = cursor.fetchone()
            cursor.execute("DROP TRIGGER audit_append_only")
            cursor.execute(statement, values)
            cursor.execute(trigger)


def faults(kept: Head | None = None) -> list[int]:
    return [fault.number for fault in verify(kept).faults]


def test_an_entry_tells_who_did_what_to_whom_and_why() -> None:
    victim = uuid4()
    entry = add(Action.SUSPEND, user_id=victim, target="report 12", reason="spam")
    stored = AuditEntry.objects.get()
    assert (stored.number, stored.actor_kind, stored.actor_id) == (1, "staff", STAFF.id)
    assert (stored.action, stored.user_id, stored.target, stored.reason) == (
        "suspend",
        victim,
        "report 12",
        "spam",
    )
    assert read_head() == Head(1, bytes(entry.mac))


def test_entries_are_numbered_without_gaps_and_verify() -> None:
    user = User.objects.create_user("alice")
    for number in range(5):
        add(Action.RENAME, OPERATOR, user_id=user.pk, changes={"username": (f"a{number}", f"b{number}")})
    add(Action.PURGE, SYSTEM)
    verdict = verify()
    assert verdict.faults == []
    assert verdict.head == read_head()
    assert verdict.head.number == 6


def test_an_empty_audit_verifies() -> None:
    assert verify().faults == []
    assert verify(read_head()).faults == []


def test_an_entry_belongs_to_the_transaction_of_its_act() -> None:
    with pytest.raises(TransactionManagementError):
        append(STAFF, Action.SUSPEND)
    with transaction.atomic():
        append(STAFF, Action.SUSPEND)
        transaction.set_rollback(True)
    assert (AuditEntry.objects.count(), read_head().number, faults()) == (0, 0, [])


def test_a_reason_has_an_end() -> None:
    add(reason="x" * REASON_CHARS)
    with pytest.raises(ConstructError):
        add(reason="x" * (REASON_CHARS + 1))
    assert faults() == []


def test_writers_at_once_make_one_chain() -> None:
    def write(_: int) -> None:
        try:
            for _ in range(5):
                add()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert list(AuditEntry.objects.order_by("number").values_list("number", flat=True)) == list(range(1, 21))
    assert faults() == []


def test_the_database_refuses_to_change_an_entry() -> None:
    add()
    with pytest.raises(Error, match="neither changed nor deleted"), transaction.atomic():
        AuditEntry.objects.update(reason="another")
    if connection.vendor == "postgresql":
        with pytest.raises(Error, match="neither changed nor deleted"), transaction.atomic():
            AuditEntry.objects.all().delete()
        with transaction.atomic(), connection.cursor() as cursor:
            # Off for the tests, which empty every table.
            cursor.execute("ALTER TABLE audit_auditentry ENABLE TRIGGER audit_never_emptied")
            with pytest.raises(Error, match="neither changed nor deleted"), transaction.atomic():
                cursor.execute("TRUNCATE audit_auditentry CASCADE")
            transaction.set_rollback(True)
    assert (AuditEntry.objects.count(), faults()) == (1, [])


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'another'",
        "action = 'lift_suspension'",
        "target = 'report 13'",
        "actor_kind = 'operator'",
        "actor_id = NULL",
        "user_id = NULL",
        "at = '2026-01-01 00:00:00+00:00'",
        "details_digest = NULL",
    ],
)
def test_a_changed_entry_is_named(change: str) -> None:
    user = User.objects.create_user("alice")
    for _ in range(5):
        add(Action.RENAME, user_id=user.pk, target="report 12", changes={"username": ("a", "b")})
    rewrite(f"UPDATE audit_auditentry SET {change} WHERE number = 3")  # noqa: S608
    assert set(faults()) == {3}


def test_an_entry_that_was_taken_out_is_named() -> None:
    for _ in range(6):
        add()
    rewrite("DELETE FROM audit_auditentry WHERE number IN (2, 4, 5)")
    assert faults() == [2, 4]
    assert [str(fault) for fault in verify().faults] == [
        "entry 2: it is missing.",
        "entry 4: it is missing, and all up to 5.",
    ]


def test_entries_that_changed_places_are_named() -> None:
    for number in range(4):
        add(reason=str(number))
    for old, new in ((2, -1), (3, 2), (-1, 3)):
        rewrite("UPDATE audit_auditentry SET number = %s WHERE number = %s", new, old)
    assert {2, 3} <= set(faults())


def test_an_end_that_was_cut_off_is_found_by_the_database_s_own_head() -> None:
    for _ in range(4):
        add()
    rewrite("DELETE FROM audit_auditentry WHERE number > 2")
    assert [str(fault) for fault in verify().faults] == ["entry 3: it is missing, and all up to 4."]


def test_an_end_that_was_cut_off_with_the_head_is_found_by_a_head_that_was_kept() -> None:
    for _ in range(4):
        add()
    kept = read_head()
    rewrite("DELETE FROM audit_auditentry WHERE number > 2")
    AuditHead.objects.update(number=2, mac=AuditEntry.objects.get(number=2).mac)
    assert faults() == []
    assert faults(kept) == [3]
    for _ in range(2):
        add(reason="another history")
    assert faults() == []
    assert faults(kept) == [4]


def test_a_head_that_was_kept_stays_good_when_entries_follow() -> None:
    kept = [read_head()]
    for _ in range(3):
        add()
        kept.append(read_head())
    assert [faults(head) for head in kept] == [[]] * 4
    assert faults(Head(9, bytes(32))) == [4]


def test_who_puts_an_entry_in_needs_the_key() -> None:
    first, last = add(), add()
    forged = AuditEntry.objects.get(number=2)
    forged.number, forged.reason = 3, "forged"
    forged.save(force_insert=True)
    AuditHead.objects.update(number=3, mac=forged.mac)
    assert faults() == [3]
    assert bytes(first.mac) != bytes(last.mac)


class TestDetails:
    @pytest.fixture
    def renamed(self) -> User:
        user = User.objects.create_user("alice")
        for _ in range(3):
            add(Action.RENAME, user_id=user.pk, changes={"username": ("alice", "bob"), "bio": (None, "é")})
        return user

    def test_they_go_with_their_user_and_the_chain_stays_whole(self, renamed: User) -> None:
        assert AuditDetails.objects.get(entry=2).changes == {"username": ["alice", "bob"], "bio": [None, "é"]}
        delete_user(renamed)
        assert not AuditDetails.objects.exists()
        assert AuditEntry.objects.filter(user_id=renamed.pk).count() == 3
        assert faults() == []

    @pytest.mark.usefixtures("renamed")
    def test_details_that_were_changed_are_named(self) -> None:
        AuditDetails.objects.filter(entry=2).update(changes={"username": ["alice", "carol"]})
        assert faults() == [2]

    @pytest.mark.usefixtures("renamed")
    def test_details_that_went_before_their_user_are_named(self) -> None:
        AuditDetails.objects.filter(entry=3).delete()
        assert faults() == [3]

    def test_details_that_were_put_beside_an_entry_are_named(self, renamed: User) -> None:
        add()
        AuditDetails.objects.create(entry_id=4, user=renamed, salt=bytes(16), changes={})
        assert faults() == [4]

    @pytest.mark.usefixtures("renamed")
    def test_nothing_of_them_is_in_the_entry(self) -> None:
        row = AuditEntry.objects.values().first()
        assert "alice" not in str(row)
        assert "bob" not in str(row)


class TestKeys:
    @staticmethod
    def use(settings: Settings, *keys: bytes) -> None:
        texts = [base64.b64encode(key).decode() for key in keys]
        settings.CONSTRUCT = replace(settings.CONSTRUCT, audit_keys=texts)

    def test_a_new_key_writes_and_the_former_one_verifies(self, settings: Settings) -> None:
        old, new = secrets.token_bytes(32), secrets.token_bytes(32)
        self.use(settings, old)
        add()
        self.use(settings, new, old)
        add()
        assert faults() == []
        self.use(settings, new)
        assert [str(fault) for fault in verify().faults] == [
            "entry 1: its key is not among CONSTRUCT_AUDIT_KEYS."
        ]

    def test_without_one_the_key_follows_from_the_secret(self, settings: Settings) -> None:
        add()
        assert faults() == []
        settings.SECRET_KEY = secrets.token_urlsafe(64)
        assert faults() == [1]


class TestCommands:
    @staticmethod
    def run(*arguments: str) -> str:
        output = io.StringIO()
        call_command(*arguments, stdout=output)
        return output.getvalue()

    def test_verifying_prints_the_head_that_a_later_run_takes(self) -> None:
        add()
        printed = self.run("verify_audit")
        assert printed == f"1 entries, as they were written.\nHead: {read_head()}\n"
        add()
        assert "2 entries" in self.run("verify_audit", "--head", str(printed.split()[-1]))

    def test_a_fault_is_named_and_is_a_failure(self) -> None:
        for _ in range(30):
            add()
        rewrite("UPDATE audit_auditentry SET reason = 'x' WHERE number > 2")
        errors = io.StringIO()
        with pytest.raises(CommandError, match="not as it was written"):
            call_command("verify_audit", stderr=errors)
        assert errors.getvalue().splitlines()[0].startswith("entry 3: ")
        assert errors.getvalue().splitlines()[-1] == "and 8 more"

    @pytest.mark.parametrize("head", ["", "12", "x:00", "1:00", "-1:" + "00" * 32, "1:" + "g" * 64])
    def test_what_is_no_head_is_refused(self, head: str) -> None:
        with pytest.raises(CommandError, match="a head is"):
            call_command("verify_audit", f"--head={head}")

    def test_the_export_is_json_lines_and_an_entry(self) -> None:
        user = User.objects.create_user("alice")
        add(Action.RENAME, user_id=user.pk, reason="\x1b[2J", changes={"username": ("a", "alice")})
        add()
        told = [json.loads(line) for line in self.run("export_audit").splitlines()]
        assert [each["action"] for each in told] == ["rename", "suspend", "export_audit"]
        assert told[0]["userId"] == str(user.pk)
        assert told[0]["mac"] == bytes(AuditEntry.objects.get(number=1).mac).hex()
        assert "changes" not in told[0]
        assert AuditEntry.objects.get(number=3).target == "after 0"
        with_details = self.run("export_audit", "--after", "0", "--details").splitlines()
        assert [json.loads(line)["changes"] for line in with_details] == [
            {"username": ["a", "alice"]},
            *[None] * 3,
        ]
        assert AuditEntry.objects.get(number=4).target == "after 0, with details"
        assert "\x1b" not in "".join(with_details)
        assert len(self.run("export_audit", "--after", "3").splitlines()) == 2
