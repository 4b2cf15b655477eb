"""The audit: entries, their details, the end of the chain; and the database's refusal to change or delete entries."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Against mistakes: who may alter the schema can lift it, and is found by the chain.
APPEND_ONLY = {
    "postgresql": (
        """
        CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'audit entries are neither changed nor deleted'; END $$
        """,
        """
        CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_auditentry
        FOR EACH ROW EXECUTE FUNCTION audit_append_only()
        """,
    ),
    # Deletion cannot be told from a flush here.
    "sqlite": (
        """
        CREATE TRIGGER audit_append_only BEFORE UPDATE ON audit_auditentry
        BEGIN SELECT RAISE(ABORT, 'audit entries are neither changed nor deleted'); END
        """,
    ),
}
FREE_AGAIN = {
    "postgresql": (
        "DROP TRIGGER audit_append_only ON audit_auditentry",
        "DROP FUNCTION audit_append_only()",
    ),
    "sqlite": ("DROP TRIGGER audit_append_only",),
}


def make_append_only(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in APPEND_ONLY.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement)


def free_again(_apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in FREE_AGAIN.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                (
                    "actor_kind",
                    models.CharField(
                        choices=[("staff", "Staff"), ("operator", "Operator"), ("system", "System")],
                        max_length=16,
                    ),
                ),
                ("actor_id", models.UUIDField(null=True)),
                ("action", models.CharField(max_length=32)),
                ("user_id", models.UUIDField(null=True)),
                ("target", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("details_digest", models.BinaryField(max_length=32, null=True)),
                ("key_id", models.BinaryField(max_length=8)),
                ("mac", models.BinaryField(max_length=32)),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit",
            },
        ),
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("number", models.BigIntegerField(default=0)),
                ("mac", models.BinaryField(max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name="AuditDetails",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="details",
                        serialize=False,
                        to="audit.auditentry",
                    ),
                ),
                ("salt", models.BinaryField(max_length=16)),
                ("changes", models.JSONField()),
            ],
            options={
                "verbose_name_plural": "audit details",
            },
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(models.F("user_id"), models.F("number"), name="audit_by_user"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(models.F("actor_id"), models.F("number"), name="audit_by_actor"),
        ),
        migrations.AddField(
            model_name="auditdetails",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.RunPython(make_append_only, free_again),
    ]
