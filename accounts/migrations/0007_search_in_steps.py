"""Indexes for a search in bounded steps on PostgreSQL, in the place of those of migration 0002.

They hold who is to be found alone, so that nobody else has a part in what a search takes. SQLite has
none. Without `pg_trgm` (see migration 0002) the one of the trigrams is left out, and a part of a name is
found by reading every account.
"""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SEARCHABLE = "discoverable AND is_active AND is_approved"
INDEXES = {
    "account_search_username": 'btree (username_folded COLLATE "C")',
    "account_search_display_name": (
        'btree (display_name_folded COLLATE "C", username_folded COLLATE "C") INCLUDE (id)'
    ),
    "account_search_sample": "btree (id) INCLUDE (username_folded, display_name_folded)",
}
# Without a list of pending entries, which every search would read from end to end.
TRIGRAM_INDEX = {
    "account_search_part": (
        "gin ((username_folded || '\n' || display_name_folded) gin_trgm_ops) WITH (fastupdate = off)"
    ),
}
FORMER_COLUMNS = ("username_folded", "display_name_folded")


def add(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for column in FORMER_COLUMNS:
        schema_editor.execute(f"DROP INDEX IF EXISTS account_search_{column}")
    made = INDEXES | (TRIGRAM_INDEX if _has_trigrams(schema_editor) else {})
    for name, definition in made.items():
        schema_editor.execute(f"CREATE INDEX {name} ON accounts_user USING {definition} WHERE {SEARCHABLE}")


def remove(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for name in INDEXES | TRIGRAM_INDEX:
        schema_editor.execute(f"DROP INDEX IF EXISTS {name}")
    if not _has_trigrams(schema_editor):
        return
    for column in FORMER_COLUMNS:
        schema_editor.execute(
            f"CREATE INDEX account_search_{column} ON accounts_user USING gin ({column} gin_trgm_ops)"
        )


def _has_trigrams(schema_editor: BaseDatabaseSchemaEditor) -> bool:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        return cursor.fetchone() is not None


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_pending_index_and_used_challenges")]
    operations = [
        migrations.AlterField(
            model_name="user",
            name="display_name_folded",
            field=models.CharField(blank=True, editable=False, max_length=1152),
        ),
        migrations.RunPython(add, remove),
    ]
