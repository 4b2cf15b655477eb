"""Lists of the admin and a user's page: they ask as often, and count no further, however many rows there are."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.admin import NEWEST
from accounts.audit.actions import Action
from accounts.audit.models import AuditEntry
from accounts.desk.lists import COUNTED, FOUND
from accounts.desk.permissions import MODERATOR, write_roles
from accounts.models import Invite, Session, StaffNote, Suspension, User
from accounts.moderation.models import Report
from keys.models import PrekeyBundle, RetiredIdentity, RetiredPrekey

pytestmark = pytest.mark.django_db
FEW, MANY = 5, 10_000
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
FOREVER = datetime(2126, 1, 1, tzinfo=UTC)
WATCHED = UUID(int=1)
"""Whose page is opened, and by whose id lists are searched."""

USERS, SESSIONS, INVITES, BUNDLES, AUDIT, REPORTS, ROLES = (
    reverse(f"admin:{name}_changelist")
    for name in (
        "accounts_user",
        "accounts_session",
        "accounts_invite",
        "keys_prekeybundle",
        "audit_auditentry",
        "moderation_report",
        "auth_group",
    )
)
LISTS = [
    *(f"{USERS}{query}" for query in ("", "?q=user-1", f"?q={WATCHED}", "?p=2")),
    *(f"{USERS}?state={state}" for state in ("suspended", "pending", "hidden", "reset", "staff")),
    *(f"{SESSIONS}{query}" for query in ("", "?state=live", "?state=ended", "?q=user-1", f"?q={WATCHED}")),
    *(f"{INVITES}{query}" for query in ("", "?q=choir")),
    *(f"{BUNDLES}{query}" for query in ("", "?prekey=stale", "?prekey=fresh", "?q=user-1", f"?q={WATCHED}")),
    *(f"{AUDIT}{query}" for query in ("", "?act=suspend", "?actor_kind__exact=staff")),
    *(f"{AUDIT}{query}" for query in ("?q=user-1", f"?q={WATCHED}")),
    *(f"{REPORTS}{query}" for query in ("", "?state=resolved", "?state=all", "?category__exact=spam")),
    *(f"{REPORTS}?assignment={whose}" for whose in ("mine", "others", "nobody")),
    *(f"{REPORTS}{query}" for query in ("?repeats=shown", "?q=user-1", f"?q={WATCHED}")),
    *(f"{ROLES}{query}" for query in ("", "?q=role")),
]
PAGE = reverse("admin:accounts_user_change", args=[WATCHED])


@pytest.fixture
def root(client: Client) -> Iterator[Client]:
    """A browser of a superuser, at noon: the sign-in notes each minute of its use, by a query more."""
    with time_machine.travel(NOON, tick=False):
        client.force_login(User.objects.create_superuser("root"))
        yield client


@pytest.fixture
def moderator(root: Client) -> Client:
    """A browser of one of the role, at the same noon."""
    write_roles(apps)
    user = User.objects.create_user("moderator", is_staff=True)
    user.groups.add(Group.objects.get(name=MODERATOR))
    browser = Client()
    browser.force_login(user)
    return browser


def fill(first: int, count: int) -> None:
    """So many rows of each kind; every state has some, and all that can be the watched user's is theirs too."""
    numbers = range(first, first + count)
    users = [_user(number) for number in numbers]
    User.objects.bulk_create(users)
    watched = User.objects.get(pk=WATCHED)
    Group.objects.bulk_create(Group(name=f"role {number}") for number in numbers)
    Invite.objects.bulk_create(
        Invite(digest=secrets.token_bytes(16), uses_left=1, expires_at=FOREVER, note="for the choir")
        for _ in numbers
    )
    Suspension.objects.bulk_create(
        Suspension(user=watched, internal_reason="x", begun_at=NOON, ended_at=NOON) for _ in numbers
    )
    StaffNote.objects.bulk_create(StaffNote(user=watched, author_id=user.pk, text="x") for user in users)
    Session.objects.bulk_create(
        Session(
            user=user if number % 2 else watched,
            token_digest=secrets.token_bytes(32),
            created_at=NOON,
            expires_at=FOREVER if number % 4 < 2 else NOON,
            last_used_at=NOON,
            address_digest=b"",
        )
        for number, user in zip(numbers, users, strict=True)
    )
    bundles = [_bundle(user, number) for number, user in zip(numbers, users, strict=True)]
    PrekeyBundle.objects.bulk_create(bundles)
    times = {"used_from": NOON, "retired_at": NOON}
    RetiredPrekey.objects.bulk_create(
        RetiredPrekey(bundle_id=WATCHED, signed_prekey_public=secrets.token_bytes(32), **times)
        for _ in numbers
    )
    RetiredIdentity.objects.bulk_create(
        RetiredIdentity(
            bundle=bundle,
            identity_public=secrets.token_bytes(32),
            verifying_key=secrets.token_bytes(32),
            **times,
        )
        for bundle in bundles
    )
    AuditEntry.objects.bulk_create(
        AuditEntry(
            number=1 + number,
            at=NOON,
            actor_kind="staff" if number % 2 else "operator",
            actor_id=user.pk if number % 2 else None,
            action=list(Action)[number % len(Action)] if number % 2 else Action.SUSPEND,
            user_id=WATCHED if number % 2 else user.pk,
            key_id=b"",
            mac=b"",
        )
        for number, user in zip(numbers, users, strict=True)
    )
    _report(watched, users)


def _user(number: int) -> User:
    name = f"user-{number}"
    user = User(pk=UUID(int=1 + number), username=name, username_folded=name, password="!")
    user.display_name = user.display_name_folded = name
    for place, (state, value) in enumerate(STATES.items()):
        if number % 7 == place:
            setattr(user, state, value)
    return user


STATES: Mapping[str, bool] = {
    "is_active": False,
    "is_approved": False,
    "is_hidden": True,
    "must_reset_password": True,
    "is_staff": True,
}


def _bundle(user: User, number: int) -> PrekeyBundle:
    rotated_at = NOON - timedelta(days=365) if number % 2 else FOREVER
    keys = dict.fromkeys(("identity_public", "verifying_key", "signed_prekey_public", "signature"), b"k")
    return PrekeyBundle(user=user, rotated_at=rotated_at, **keys)


def _report(watched: User, users: list[User]) -> None:
    me = User.objects.get(username="root")
    states = [state.value for state in Report.State]
    reports = [
        Report(
            reporter=user,
            reported=watched if number % 2 else user,
            category="spam",
            created_at=NOON,
            state=states[number % 4],
            assignee=(None, me, user)[number % 3],
        )
        for number, user in enumerate(users)
    ]
    for number, each in enumerate(reports):
        if number % 5 == 4:
            each.merged_into = reports[number - 4]
    Report.objects.bulk_create(reports)


COUNT = re.compile(r"\bCOUNT\(", re.IGNORECASE)
BOUND = re.compile(rf"\bFROM \(SELECT .* LIMIT {COUNTED}\)", re.DOTALL)
OF_ONE = re.compile(r"""\bWHERE \(?"\w+"\."(?:user|bundle|recipient)_id" = '""")
OF_ROW = re.compile(r'\(SELECT COUNT\([^()]+\) AS "count" FROM "\w+" U0 WHERE U0\."\w+" = \("\w+"\."\w+"\)')
"""A row of the page counts what belongs to it."""


def asked(browser: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(address).status_code == 200, address
    return [query["sql"] for query in captured.captured_queries]


def counts_without_a_bound(statement: str) -> bool:
    others = OF_ROW.sub("", statement)
    return bool(COUNT.search(others)) and not (BOUND.search(others) or OF_ONE.search(others))


@pytest.mark.timeout(600)  # it fills seven tables, beside the other parts of the tests
def test_lists_and_pages_ask_as_often_among_ten_thousand(root: Client, moderator: Client) -> None:
    fill(0, FEW)
    # Roles are for superusers.
    of_moderators = [address for address in LISTS if not address.startswith(ROLES)]
    pages = {root: [*LISTS, PAGE], moderator: [*of_moderators, PAGE]}
    # Content types are looked up once in a process.
    asked(root, PAGE)

    def ask_all() -> dict[tuple[Client, str], list[str]]:
        return {(who, address): asked(who, address) for who in pages for address in pages[who]}

    before = {page: len(statements) for page, statements in ask_all().items()}
    fill(FEW, MANY)
    with connection.cursor() as cursor:
        # As autovacuum does in time: without it PostgreSQL plans for the few rows of before.
        cursor.execute("ANALYZE")
    after = ask_all()
    assert {page: len(statements) for page, statements in after.items()} == before
    # Session, user, second factor; a count, and a page.
    # Looked up before: users by each kind of name, and who it is whose entries are searched.
    more = {f"{USERS}?q=user-1": 2, f"{AUDIT}?q=user-1": 1}
    # A superuser may everything; of others their own permissions are read, and those of their roles.
    rights = {root: 0, moderator: 2}
    # A superuser's has the form of rights: groups and permissions, those given and those there are.
    of_page = {root: 19 + 4, moderator: 19 + rights[moderator]}
    assert before == {
        (who, address): of_page[who] if address == PAGE else 5 + rights[who] + more.get(address, 0)
        for who in pages
        for address in pages[who]
    }
    unbounded = {
        (address, statement)
        for (_, address), statements in after.items()
        for statement in statements
        if counts_without_a_bound(statement)
    }
    assert not unbounded


@pytest.mark.parametrize(
    ("statement", "is_bounded"),
    [
        ('SELECT COUNT(*) AS "__count" FROM "accounts_user"', False),
        ('SELECT COUNT(*) FROM "accounts_user" WHERE "accounts_user"."is_staff" LIMIT 10000', False),
        ('SELECT COUNT(*) FROM (SELECT 1 AS "col1" FROM "accounts_user" LIMIT 10000) subquery', True),
        ("""SELECT COUNT(*) FROM "keys_retiredprekey" WHERE "keys_retiredprekey"."bundle_id" = '1'""", True),
    ],
)
def test_a_count_has_a_bound_where_it_counts_that_far_or_for_one_user(
    statement: str, is_bounded: bool
) -> None:
    assert counts_without_a_bound(statement) is not is_bounded


def test_a_list_pages_to_its_bound(root: Client) -> None:
    User.objects.bulk_create(_user(number) for number in range(COUNTED + FEW))
    rows_of_a_page = root.get(USERS).context["cl"].list_per_page
    last = COUNTED // rows_of_a_page
    in_order = list(User.objects.order_by("username_folded")[:COUNTED])
    for page in (1, 2, last):
        shown = root.get(USERS, {"p": page}).context["cl"]
        assert shown.result_count == COUNTED
        assert list(shown.result_list) == in_order[(page - 1) * rows_of_a_page : page * rows_of_a_page]
    assert root.get(USERS, {"p": last + 1})["location"].endswith("?e=1")


def test_a_beginning_that_many_have_finds_some_and_the_name_itself(root: Client) -> None:
    User.objects.bulk_create(_user(number) for number in range(3 * FOUND))
    User.objects.filter(username="user-7").update(username="user", username_folded="user")
    shown = root.get(USERS, {"q": "User"}).context["cl"]
    assert FOUND <= shown.result_count <= 2 * FOUND + 1
    assert shown.result_list[0].username == "user"


def test_notes_of_the_newest_invites_are_searched(root: Client) -> None:
    Invite.objects.bulk_create(
        Invite(
            digest=secrets.token_bytes(16),
            uses_left=1,
            expires_at=FOREVER,
            created_at=NOON - timedelta(minutes=number),
            note="for the Choir" if number in (0, NEWEST - 1, NEWEST) else "",
        )
        for number in range(NEWEST + 1)
    )
    found = root.get(INVITES, {"q": " choir "}).context["cl"].result_list
    assert [invite.created_at for invite in found] == [NOON, NOON - timedelta(minutes=NEWEST - 1)]


def test_no_list_has_another_order_than_that_of_its_index(root: Client) -> None:
    fill(0, FEW)
    for address in LISTS:
        shown = root.get(address).context["cl"]
        assert not shown.sortable_by, address
        other = "&" if "?" in address else "?"
        for asked in ("o=1", "o=-2.3", "o=x"):
            assert str(root.get(f"{address}{other}{asked}").context["cl"].queryset.query) == str(
                shown.queryset.query
            ), (address, asked)


def test_no_list_counts_what_its_filters_would_find(root: Client) -> None:
    fill(0, FEW)
    for address in LISTS:
        other = "&" if "?" in address else "?"
        assert len(asked(root, f"{address}{other}_facets=True")) == len(asked(root, address)), address
