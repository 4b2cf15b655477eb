"""What a user's page shows to whom."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from accounts.audit.chain import OPERATOR as CONSOLE
from accounts.audit.chain import Actor
from accounts.desk import acts
from accounts.desk.permissions import MODERATOR, OPERATOR, write_roles
from accounts.models import User

pytestmark = pytest.mark.django_db
AUDIT = reverse("admin:audit_auditentry_changelist")


def staff(name: str, role: str | None) -> User:
    """Of this role, and for None a superuser."""
    write_roles(apps)
    user = User.objects.create_user(name, is_staff=True, is_superuser=role is None)
    user.groups.set(Group.objects.filter(name=role))
    return user


def page_of(user: User, viewer: User) -> str:
    client = Client()
    client.force_login(viewer)
    return client.get(reverse("admin:accounts_user_change", args=[user.pk])).content.decode()


@pytest.fixture(params=[MODERATOR, OPERATOR, None])
def subject(request: pytest.FixtureRequest) -> User:
    """One of the staff, whom others wrote about and suspended for a while."""
    user = staff("subject", request.param)
    root = Actor.staff(staff("root", None).pk)
    acts.suspend(root, user.pk, reason="what the staff say", public_reason="what the owner is told")
    acts.lift_suspension(root, user.pk, reason="over")
    acts.add_note(root, user.pk, "what a note says")
    acts.rename(CONSOLE, user.pk, "renamed", reason="what the console says")
    return User.objects.get(pk=user.pk)


def test_staff_do_not_see_what_was_written_about_themselves_and_superusers_do(subject: User) -> None:
    page = page_of(subject, subject)
    assert "what the owner is told" in page
    of_the_staff = (
        "what the staff say",
        "what a note says",
        "what the console says",
        ">Notes</h2>",
        ">Reason</th>",
        ">What staff did</h2>",
        f'href="{AUDIT}?q={subject.pk}"',
    )
    for text in of_the_staff:
        assert (text in page) is subject.is_superuser, text


def test_others_of_the_staff_see_it(subject: User) -> None:
    page = page_of(subject, staff("other", MODERATOR))
    for text in ("what the staff say", "what a note says", "what the console says", "what the owner is told"):
        assert text in page
    assert f'href="{AUDIT}?q={subject.pk}"' in page


def offered(user: User, viewer: User) -> set[str]:
    return set(re.findall(r"/act/([a-z-]+)/\?ids=", page_of(user, viewer)))


@pytest.mark.parametrize("role", [MODERATOR, OPERATOR, None])
def test_ones_own_page_offers_what_one_may_do_to_oneself(role: str | None) -> None:
    viewer = staff("viewer", role)
    User.objects.filter(pk=viewer.pk).update(is_approved=False)
    assert offered(viewer, viewer) == {"revoke-sessions", "hide"}
    User.objects.filter(pk=viewer.pk).update(is_hidden=True)
    assert offered(viewer, viewer) == {"revoke-sessions", "show"}


@pytest.mark.parametrize("role", [MODERATOR, OPERATOR])
def test_the_page_of_staff_offers_acts_to_superusers_alone(role: str) -> None:
    viewer, root = staff("viewer", role), staff("root", None)
    for user in (staff("other", MODERATOR), User.objects.create_superuser("unsigned", is_staff=False)):
        assert offered(user, viewer) == set()
        assert "suspend" in offered(user, root)
    user = User.objects.create_user("alice")
    assert {"suspend", "clear-mailbox"} <= offered(user, viewer)


def test_columns_and_cells_of_ones_own_suspensions_go_together() -> None:
    subject = staff("subject", MODERATOR)
    acts.suspend(CONSOLE, subject.pk, reason="x")
    acts.lift_suspension(CONSOLE, subject.pk, reason="x")
    for viewer, count in ((subject, 4), (staff("other", MODERATOR), 5)):
        User.objects.filter(pk=subject.pk).update(is_active=True)
        panel = page_of(subject, viewer).partition(">Suspensions</h2>")[2].partition("</section>")[0]
        assert [len(re.findall(tag, panel)) for tag in ("<th ", "<td ")] == [count, count]
