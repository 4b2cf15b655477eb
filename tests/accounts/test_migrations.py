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
    migration = import_module("accounts.migrations.0007_search_in_steps")
    all_of_them = {*migration.INDEXES, *migration.TRIGRAM_INDEX}
    former = {"account_search_username_folded", "account_search_display_name_folded"}
    expected = all_of_them if connection.vendor == "postgresql" else set()
    User.objects.create(username="alice", display_name="Alice")
    assert indexes() & (all_of_them | former) == expected
    try:
        call_command("migrate", "accounts", "0001", verbosity=0)
        assert not indexes() & (all_of_them | former)
    finally:
        call_command("migrate", verbosity=0)
    assert indexes() & (all_of_them | former) == expected
    # The search asks for columns that came later: without the indexes it is tried on the present schema.
    with connection.schema_editor() as editor:
        migration.remove(apps, editor)
    try:
        assert indexes() & (all_of_them | former) == (former if expected else set())
        with connection.cursor() as cursor:
            for name in former:
                cursor.execute(f"DROP INDEX IF EXISTS {name}")
        assert [user.username for user in search_users("lic")] == ["alice"]
    finally:
        with connection.schema_editor() as editor:
            migration.add(apps, editor)
    assert indexes() & (all_of_them | former) == expected
    assert [user.username for user in search_users("lic")] == ["alice"]
