"""Room for a second id in the target of an entry."""

from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class AlterLength(migrations.AlterField):
    """SQLite keeps to no length; Django would make the table anew there, without the trigger of 0001."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, *states: Any
    ) -> None:
        if schema_editor.connection.vendor != "sqlite":
            super().database_forwards(app_label, schema_editor, *states)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, *states: Any
    ) -> None:
        self.database_forwards(app_label, schema_editor, *states)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_indexes_of_filters"),
    ]

    operations = [
        AlterLength(
            model_name="auditentry",
            name="target",
            field=models.CharField(blank=True, max_length=200),
        ),
    ]
