"""A bundle can be replaced as a whole; its former identity and verifying key stay in a history of their own."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("keys", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="RetiredIdentity",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("identity_public", models.BinaryField(max_length=32)),
                ("verifying_key", models.BinaryField(max_length=32)),
                ("used_from", models.DateTimeField()),
                ("retired_at", models.DateTimeField()),
                (
                    "bundle",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="retired_identities",
                        to="keys.prekeybundle",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("bundle", "identity_public"), name="identity_retired_once"
                    ),
                    models.UniqueConstraint(
                        fields=("bundle", "verifying_key"), name="verifying_key_retired_once"
                    ),
                ],
            },
        ),
    ]
