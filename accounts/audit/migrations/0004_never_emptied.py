"""On PostgreSQL the entries' table is not emptied at once either, as `manage.py flush` would: a trigger for rows sees none."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

NEVER_EMPTIED = """
    CREATE TRIGGER audit_never_emptied BEFORE TRUNCATE ON audit_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()
"""


def refuse_to_empty(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(NEVER_EMPTIED)


def let_be_emptied(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER audit_never_emptied ON audit_auditentry")


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0003_longer_targets"),
    ]

    operations = [migrations.RunPython(refuse_to_empty, let_be_emptied)]
