"""What the migrations leave in the database."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from accounts.models import User
from accounts.services import search_users

pytestmark = pytest.mark.django_db(transaction=True)


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, "accounts_user"))


def test_no_model_was_changed_without_a_migration() -> None:
    call_command("makemigrations", "accounts", "keys", check=True, dry_run=True, verbosity=0)


def test_the_search_indexes_come_and_go_and_the_search_works_without_them() -> None:
    trigrams = {"account_search_username_folded", "account_search_display_name_folded"}
    expected = trigrams if connection.vendor == "postgresql" else set()
    User.objects.create(username="alice", display_name="Alice")
    assert indexes() & trigrams == expected
    try:
        call_command("migrate", "accounts", "0001", verbosity=0)
        assert not indexes() & trigrams
    finally:
        call_command("migrate", verbosity=0)
    # The search asks for columns that came later: without the indexes it is tried on the present schema.
    migration = import_module("accounts.migrations.0002_search_indexes")
    with connection.schema_editor() as editor:
        migration.remove(apps, editor)
    try:
        assert not indexes() & trigrams
        assert [user.username for user in search_users("lic")] == ["alice"]
    finally:
        with connection.schema_editor() as editor:
            migration.add(apps, editor)
    assert indexes() & trigrams == expected
    assert [user.username for user in search_users("lic")] == ["alice"]
