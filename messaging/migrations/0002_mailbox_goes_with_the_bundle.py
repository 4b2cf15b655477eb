"""Messages go with the bundle of their recipient, on PostgreSQL by a trigger in the place of a foreign key.

Storing a batch locks the bundles of its recipients against deletion. A deletion waits
for that lock; by then the rows it found are deleted already, and those that the batch
stored are left. The trigger runs after the wait and sees them.
"""

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

ADD = """
CREATE FUNCTION messaging_empty_mailbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM messaging_mailboxmessage WHERE recipient_id = OLD.user_id;
    RETURN NULL;
END $$;
CREATE TRIGGER messaging_empty_mailbox AFTER DELETE ON keys_prekeybundle
    FOR EACH ROW EXECUTE FUNCTION messaging_empty_mailbox();
"""
REMOVE = """
DROP TRIGGER messaging_empty_mailbox ON keys_prekeybundle;
DROP FUNCTION messaging_empty_mailbox();
"""


def add(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(ADD)


def remove(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(REMOVE)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial"), ("keys", "0001_initial")]
    operations = [
        migrations.AlterField(
            model_name="mailboxmessage",
            name="recipient",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunPython(add, remove),
    ]
