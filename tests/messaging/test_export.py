"""The export of a user's data: all of it, of one moment, nothing secret, and no model forgotten."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import AutoField, Model
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts import sections
from accounts.audit.actions import Action
from accounts.audit.chain import Actor, append
from accounts.audit.models import AuditEntry
from accounts.models import ResetCode, Session, User
from accounts.moderation import acts
from accounts.moderation.models import Report
from accounts.moderation.reports import report
from accounts.services import delete_user, make_reset_code, open_session, suspend_user
from accounts.services.credentials import find_credentials
from construct_site.env import REPOSITORY
from construct_site.errors import ConstructError, ErrorCode
from construct_site.export import Section
from keys.models import PrekeyBundle, RetiredIdentity, RetiredPrekey
from keys.services import replace_bundle, rotate_prekey
from messaging import contacts, export
from messaging.export import NOT_TOLD, SECTIONS, export_user
from messaging.mailbox.letters import Caps
from messaging.mailbox.store import get_store
from messaging.models import MailboxMessage
from tests.accounts.conftest import AWAY, HOME
from tests.keys.owners import KeyOwner, registered
from tests.messaging.mailbox.conftest import make_letter, run_at_once

pytestmark = pytest.mark.django_db(transaction=True)
OWN_PACKAGES = {"accounts", "construct_site", "keys", "messaging"}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())
CAPS = Caps(100, 10**6, 1)
EMPTY_MAILBOX: dict[str, object] = {"messages": 0, "sizeBytes": 0, "oldest": None, "waiting": []}


@pytest.fixture
def owner() -> KeyOwner:
    return KeyOwner()


@pytest.fixture
def alice(transactional_db: None, owner: KeyOwner) -> User:
    return registered(owner, "Alice")


def put(recipient: User, *sizes: int) -> None:
    letters = [make_letter(recipient.pk, sealed=bytes(size)) for size in sizes]
    get_store().put(letters, CAPS, NOON)


def log_entry(user: User, about: Model, action: int, changes: str) -> None:
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(about),
        object_id=str(about.pk),
        object_repr=str(about),
        action_flag=action,
        action_time=NOON,
        change_message=changes,
    )


def in_base64(data: bytes | memoryview) -> str:
    return b64encode(data).decode()


def exported(user: User, *, is_for_owner: bool = True) -> dict[str, Any]:
    """The export as it is read back from its JSON."""
    told: dict[str, Any] = json.loads(json.dumps(export_user(user.pk, is_for_owner=is_for_owner)))
    return told


class TestWhatIsTold:
    def test_the_frame_of_it_names_format_moment_and_server(self, alice: User, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, name="Our Place")
        before = int(datetime.now(UTC).timestamp())
        told = exported(alice)
        assert before <= told.pop("exportedAt") <= datetime.now(UTC).timestamp()
        assert (told.pop("format"), told.pop("server")) == ("construct-export/1", "Our Place")
        assert told.keys() == {section.name for section in SECTIONS}

    def test_of_the_account_every_field(self, alice: User) -> None:
        User.objects.filter(pk=alice.pk).update(
            display_name="Alice L.",
            bio="Down\nthe hole",
            avatar_url="https://pictures.example/a.png",
            discoverable=False,
            last_seen_on=date(2026, 11, 22),
            created_at=NOON,
            is_approved=False,
            is_staff=True,
        )
        alice.groups.add(Group.objects.create(name="moderators"))
        alice.user_permissions.add(
            Permission.objects.get(codename="change_session", content_type__app_label="accounts")
        )
        assert exported(alice)["account"] == {
            "userId": str(alice.pk),
            "username": "Alice",
            "displayName": "Alice L.",
            "bio": "Down\nthe hole",
            "avatarUrl": "https://pictures.example/a.png",
            "discoverable": False,
            "created": NOON_S,
            "lastSeen": "2026-11-22",
            "isActive": True,
            "isApproved": False,
            "mustResetPassword": False,
            "isHidden": False,
            "messagesPerHour": None,
            "isStaff": True,
            "isSuperuser": False,
            "groups": ["moderators"],
            "permissions": ["Accounts | session | Can change session"],
        }

    def test_suspensions_with_what_was_told_and_nothing_internal(self, alice: User) -> None:
        for reason in ("Spam.", "Threats."):
            suspend_user(alice.pk, public_reason=reason, internal_reason="ticket 7", ends_at=None)
        newest, older = exported(alice)["suspensions"]["newest"]
        assert newest == {"begun": newest["begun"], "ends": None, "ended": None, "reason": "Threats."}
        assert (older["reason"], older["ended"]) == ("Spam.", newest["begun"])
        assert "ticket 7" not in json.dumps(exported(alice))

    @pytest.mark.parametrize("is_for_owner", [True, False])
    def test_nothing_of_what_was_done_to_reports_about_the_account(
        self, alice: User, is_for_owner: bool
    ) -> None:
        bob, staff = User.objects.create_user("bob"), User.objects.create_superuser("root")
        actor = Actor.staff(staff.pk)
        made, other = (report(bob.pk, alice.pk, category, "", []) for category in ("spam", "other"))
        acts.take(actor, made, reason="mine")
        acts.write_note(actor, made, "Sells things.")
        acts.release(actor, made, reason="away")
        acts.dismiss(actor, made, reason="nothing")
        acts.reopen(actor, made, reason="something")
        acts.merge(actor, other, made, reason="the same")
        acts.resolve(actor, made, reason="warned")
        assert AuditEntry.objects.filter(user_id=alice.pk).count() == 7
        assert exported(alice, is_for_owner=is_for_owner)["audit"]["aboutAccount"] == []

    def test_nobody_of_the_staff_reads_reports_about_themselves(self, alice: User) -> None:
        bob, staff = User.objects.create_user("bob"), User.objects.create_user("maria")
        report(alice.pk, staff.pk, "spam", "About Maria.", [])
        report(alice.pk, bob.pk, "spam", "About Bob.", [])
        gone = User.objects.create_user("gone")
        report(alice.pk, gone.pk, "spam", "About somebody.", [])
        gone.delete()
        about = ["About Maria.", "About Bob.", "About somebody."]
        for reader, told in ((None, about), (bob.pk, [about[0], about[2]]), (staff.pk, about[1:])):
            data = export_user(alice.pk, is_for_owner=False, reader_id=reader)
            assert [each["text"] for each in data["reports"]["made"]] == told

    def test_acts_of_staff_without_who_and_why(self, alice: User) -> None:
        bob = User.objects.create_user("bob")
        with transaction.atomic():
            append(
                Actor.staff(bob.pk),
                Action.RENAME,
                user_id=alice.pk,
                target="a report",
                reason="ticket 7",
                changes={"username": ("old", "Alice")},
            )
            append(Actor.staff(bob.pk), Action.APPROVE, user_id=alice.pk)
        told = exported(alice)["audit"]
        assert told["byAccount"] == []
        assert [(each["action"], each["details"]) for each in told["aboutAccount"]] == [
            ("approve", None),
            ("rename", {"changes": {"username": ["old", "Alice"]}}),
        ]
        for private in ("ticket 7", "a report", str(bob.pk)):
            assert private not in json.dumps(told)
        [approval, renaming] = exported(bob)["audit"]["byAccount"]
        assert (approval["action"], renaming["action"], renaming["reason"]) == (
            "approve",
            "rename",
            "ticket 7",
        )
        assert str(alice.pk) not in json.dumps(exported(bob)["audit"])

    def test_sessions_also_those_that_ended_newest_first(self, alice: User) -> None:
        old, new = (open_session(alice, peer).session_id for peer in (HOME, AWAY))
        for session_id, created in ((old, NOON), (new, NOON + timedelta(days=1))):
            Session.objects.filter(pk=session_id).update(
                created_at=created, last_used_at=created, expires_at=created + timedelta(days=2)
            )
        Session.objects.filter(pk=old).update(revoked_at=NOON + timedelta(hours=1))
        day = 86400
        assert exported(alice)["sessions"] == {
            "count": 2,
            "newest": [
                {
                    "id": str(new),
                    "label": AWAY.client_label,
                    "address": AWAY.address,
                    "created": NOON_S + day,
                    "lastUsed": NOON_S + day,
                    "expires": NOON_S + 3 * day,
                    "revoked": None,
                },
                {
                    "id": str(old),
                    "label": HOME.client_label,
                    "address": HOME.address,
                    "created": NOON_S,
                    "lastUsed": NOON_S,
                    "expires": NOON_S + 2 * day,
                    "revoked": NOON_S + 3600,
                },
            ],
        }

    def test_addresses_of_sessions_only_to_their_owner(self, alice: User) -> None:
        open_session(alice, HOME)
        told = exported(alice, is_for_owner=False)
        assert [each["address"] for each in told["sessions"]["newest"]] == [None]
        assert HOME.address not in json.dumps(told)

    def test_of_very_many_sessions_the_newest_and_how_many(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sections, "NEWEST", 2)
        for _ in range(3):
            newest = open_session(alice, HOME).session_id
        told = exported(alice)["sessions"]
        assert (told["count"], len(told["newest"])) == (3, 2)
        assert told["newest"][0]["id"] == str(newest)

    def test_keys_with_the_history_of_their_rotations(self, alice: User, owner: KeyOwner) -> None:
        first, last = owner.bundle(), owner.update()
        rotate_prekey(alice.pk, last)
        PrekeyBundle.objects.update(created_at=NOON, rotated_at=NOON + timedelta(hours=2))
        RetiredPrekey.objects.update(used_from=NOON, retired_at=NOON + timedelta(hours=2))
        fingerprint = hashlib.sha256(first.identity_public + first.verifying_key).hexdigest()
        assert exported(alice)["keys"] == {
            "fingerprint": fingerprint,
            "identityPublic": in_base64(first.identity_public),
            "verifyingKey": in_base64(first.verifying_key),
            "signedPrekeyPublic": in_base64(last.new_prekey_public),
            "signature": in_base64(last.signature),
            "created": NOON_S,
            "rotated": NOON_S + 7200,
            "retiredPrekeys": [
                {
                    "signedPrekeyPublic": in_base64(first.signed_prekey_public),
                    "usedFrom": NOON_S,
                    "retired": NOON_S + 7200,
                }
            ],
            "retiredIdentities": [],
        }

    def test_bundles_that_were_replaced(self, alice: User, owner: KeyOwner) -> None:
        PrekeyBundle.objects.update(created_at=NOON)
        credentials = find_credentials("Alice")
        assert credentials is not None
        replace_bundle(credentials, KeyOwner().bundle(), kept=None)
        RetiredIdentity.objects.update(retired_at=NOON + timedelta(hours=2))
        first = owner.bundle()
        assert exported(alice)["keys"]["retiredIdentities"] == [
            {
                "identityPublic": in_base64(first.identity_public),
                "verifyingKey": in_base64(first.verifying_key),
                "usedFrom": NOON_S,
                "retired": NOON_S + 7200,
            }
        ]

    def test_a_reset_code_without_the_code(self, alice: User) -> None:
        assert exported(alice)["resetCode"] is None
        code = make_reset_code(alice.pk).code
        ResetCode.objects.update(made_at=NOON, expires_at=NOON + timedelta(days=1))
        told = exported(alice)
        assert told["resetCode"] == {"made": NOON_S, "expires": NOON_S + 86400}
        assert code not in json.dumps(told)

    def test_what_the_user_said_about_others_and_not_what_others_said(self, alice: User) -> None:
        bob, carol = registered(KeyOwner(), "bob"), registered(KeyOwner(), "carol")
        contacts.set_accepted_only(alice.pk, True)
        contacts.accept(alice.pk, carol.pk)
        contacts.block(alice.pk, bob.pk)
        contacts.block(carol.pk, alice.pk)
        assert exported(alice)["contacts"] == {
            "acceptedOnly": True,
            "contacts": [
                {"userId": str(bob.pk), "username": "bob", "isAccepted": False, "isBlocked": True},
                {"userId": str(carol.pk), "username": "carol", "isAccepted": True, "isBlocked": False},
            ],
        }

    def test_what_the_user_reported_and_not_what_others_reported(self, alice: User) -> None:
        bob, message = registered(KeyOwner(), "bob"), str(uuid4())
        made = report(alice.pk, bob.pk, "spam", "Sells things.", [message])
        report(bob.pk, alice.pk, "other", "", [])
        Report.objects.update(created_at=NOON)
        told = {
            "id": str(made),
            "userId": str(bob.pk),
            "category": "spam",
            "text": "Sells things.",
            "messageIds": [message],
            "created": NOON_S,
            "outcome": "received",
            "updated": None,
        }
        assert exported(alice)["reports"] == {"made": [told]}
        delete_user(bob)
        assert exported(alice)["reports"] == {"made": [{**told, "userId": None}]}

    def test_of_waiting_messages_when_they_came_and_how_large_they_are(self, alice: User) -> None:
        put(alice, 10, 20)
        put(registered(KeyOwner(), "bob"), 30)
        assert exported(alice)["mailbox"] == {
            "messages": 2,
            "sizeBytes": 30,
            "oldest": NOON_S,
            "waiting": [
                {"received": NOON_S, "sizeBytes": size, "isRequest": False, "isUnheard": False}
                for size in (10, 20)
            ],
        }

    def test_what_staff_did_to_the_account_and_the_account_as_staff_without_the_other_names(
        self, alice: User
    ) -> None:
        moderator = User.objects.create_user("moderator", is_staff=True)
        log_entry(moderator, alice, CHANGE, "[bio]")
        log_entry(alice, moderator, DELETION, "")
        log_entry(moderator, Group.objects.create(name="others"), CHANGE, "[name]")
        told = exported(alice)
        changed = {"at": NOON_S, "action": "changed", "kind": "user", "changes": "[bio]"}
        deleted = {"at": NOON_S, "action": "deleted", "kind": "user", "changes": ""}
        assert told["adminHistory"] == {"aboutAccount": [changed], "byAccount": [deleted]}
        assert "moderator" not in json.dumps(told)
        assert str(moderator.pk) not in json.dumps(told)

    def test_of_a_kind_of_thing_whose_model_is_gone_nothing_but_that(self, alice: User) -> None:
        log_entry(alice, alice, CHANGE, "[bio]")
        LogEntry.objects.update(content_type=None)
        assert exported(alice)["adminHistory"]["byAccount"][0]["kind"] is None

    def test_of_an_account_without_keys_that_it_has_none(self) -> None:
        told = exported(User.objects.create_user("moderator"))
        assert told["keys"] is None
        assert told["sessions"] == {"count": 0, "newest": []}
        assert told["mailbox"] == EMPTY_MAILBOX
        assert told["adminHistory"] == {"aboutAccount": [], "byAccount": []}

    def test_of_an_account_that_is_gone_nothing(self) -> None:
        with pytest.raises(ConstructError) as refusal:
            export_user(uuid4(), is_for_owner=True)
        assert refusal.value.code is ErrorCode.USER_NOT_FOUND

    def test_nothing_secret(self, alice: User) -> None:
        grant = open_session(alice, HOME)
        put(alice, 40)
        told = json.dumps(exported(alice))
        stored: list[object] = [grant.token, *secrets_of(alice)]
        assert len(stored) == 9
        for secret in stored:
            for form in forms(secret):
                assert form not in told


def secrets_of(user: User) -> Iterator[object]:
    """What must not be told, as it is stored."""
    yield User.objects.values_list("password", flat=True).get(pk=user.pk)
    columns = ("token_digest", "address_digest", "address_sealed")
    yield from Session.objects.values_list(*columns).get(user=user)
    message = MailboxMessage.objects.values_list("name", "body", "pair", "frame").get(recipient=user)
    yield from message


def forms(secret: object) -> list[str]:
    """How a text or bytes could stand in JSON."""
    if isinstance(secret, str):
        return [secret]
    assert isinstance(secret, bytes | memoryview)
    return [bytes(secret).hex(), in_base64(secret).rstrip("="), repr(bytes(secret))[2:-1]]


def test_all_of_it_is_of_one_moment(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes, and a session that opens, while the sections are read: none of them tells it."""

    def meanwhile() -> None:
        put(alice, 10)
        open_session(alice, HOME)

    def read_and_write(user_id: UUID) -> object:
        told = first.read(user_id)
        run_at_once(meanwhile)
        return told

    first, *others = SECTIONS
    monkeypatch.setattr(export, "SECTIONS", (replace(first, read=read_and_write), *others))
    told = exported(alice)
    assert told["mailbox"] == EMPTY_MAILBOX
    assert told["sessions"]["count"] == 0
    monkeypatch.undo()
    assert exported(alice)["mailbox"]["messages"] == 1
    assert exported(alice)["sessions"]["count"] == 1


def test_an_export_reads_no_more_often_the_more_there_is(alice: User, owner: KeyOwner) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            exported(alice)
        return len(captured)

    few = queries()
    put(alice, *range(1, 6))
    for _ in range(5):
        open_session(alice, HOME)
        rotate_prekey(alice.pk, owner.update())
        log_entry(alice, alice, CHANGE, "[bio]")
    assert queries() == few


class TestThatNothingIsForgotten:
    """Who adds a model or a column decides here whether an export tells it, and says why not."""

    def test_every_model_of_ours_or_about_a_user_is_told_or_has_a_reason(self) -> None:
        told = {table.model for section in SECTIONS for table in section.tables}
        assert told.isdisjoint(NOT_TOLD)
        assert models_that_matter() == told | set(NOT_TOLD)

    @pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
    def test_every_column_is_told_or_has_a_reason(self, section: Section) -> None:
        for table in section.tables:
            owner = [table.owner] if table.owner else []
            accounted = [*(table.told() - NOT_COLUMNS), *table.withheld, *owner]
            assert sorted(accounted) == sorted(columns(table.model)), table.model

    def test_what_is_not_told_is_documented_with_its_reason(self) -> None:
        lines = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8").splitlines()
        for name, reason in reasons():
            assert any(f"`{name}`" in line and f"| {reason} |" in line for line in lines), name

    def test_every_section_is_documented(self) -> None:
        page = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8")
        assert [section.name for section in SECTIONS if f"\n| `{section.name}` |" not in page] == []


def reasons() -> Iterator[tuple[str, str]]:
    """Columns and models that are not told, as the page names them, and why."""
    for table in (table for section in SECTIONS for table in section.tables):
        for column, reason in table.withheld.items():
            yield f"{table.model.__name__}.{column}", reason
    for model, reason in NOT_TOLD.items():
        yield model.__name__, reason


NOT_COLUMNS = {"contacts", "details", "fingerprint", "retired_identities", "retired_prekeys"}
"""What rows show besides: a hash of columns that are told, and other rows."""


def columns(model: type[Model]) -> set[str]:
    fields = [*model._meta.concrete_fields, *model._meta.many_to_many]
    return {field.name for field in fields if not isinstance(field, AutoField)}


def models_that_matter() -> set[type[Model]]:
    """All models of our apps, and all that refer to a user, be it through another; a relation to many is a column."""
    models = [model for model in apps.get_models() if not model._meta.auto_created]
    found = {model for model in models if model.__module__.partition(".")[0] in OWN_PACKAGES} | {User}
    while more := {model for model in models if model not in found and _refers_to(model, found)}:
        found |= more
    return found


def _refers_to(model: type[Model], found: set[type[Model]]) -> bool:
    fields = [*model._meta.concrete_fields, *model._meta.many_to_many]
    return any(field.remote_field and field.related_model in found for field in fields)
