"""Trigram indexes for the search on PostgreSQL: without them a substring is found by reading every account.

SQLite has none. A PostgreSQL server that lacks the `pg_trgm` extension, or does not
let this database's owner install it, is searched without them.
"""

from django.apps.registry import Apps
from django.db import ProgrammingError, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

COLUMNS = ("username_folded", "display_name_folded")


def add(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        if cursor.fetchone() is None:
            return
        try:
            with transaction.atomic(using=connection.alias):
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except ProgrammingError:
            return
        for column in COLUMNS:
            cursor.execute(
                f"CREATE INDEX account_search_{column} ON accounts_user USING gin ({column} gin_trgm_ops)"
            )


def remove(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for column in COLUMNS:
            cursor.execute(f"DROP INDEX IF EXISTS account_search_{column}")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
