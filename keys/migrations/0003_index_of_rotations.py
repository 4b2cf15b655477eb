"""The index of the admin's list of bundles, the oldest prekey first.

A process of the version before writes bundles as ever. On PostgreSQL it takes a second for a million, in which nobody
rotates.
"""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("keys", "0002_history_of_replaced_bundles"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="prekeybundle",
            index=models.Index(models.F("rotated_at"), models.F("user"), name="bundle_rotated"),
        ),
    ]
