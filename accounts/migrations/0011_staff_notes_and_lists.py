"""Notes of the staff, and the indexes of the admin's lists.

A process of the version before writes as ever, but for the deletion of an account that has notes: that is refused. On
PostgreSQL it takes 3 s for a million accounts and sessions, in which nobody registers or logs in.
"""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_message_limits"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="StaffNote",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("author_id", models.UUIDField()),
                ("text", models.CharField(max_length=2000)),
                ("written_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(models.F("created_at"), name="session_created"),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                fields=["display_name_folded"], name="user_display_name", opclasses=["varchar_pattern_ops"]
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                models.F("username_folded"), condition=models.Q(("is_active", False)), name="user_suspended"
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                models.F("username_folded"),
                condition=models.Q(("is_approved", False)),
                name="user_unapproved",
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                models.F("username_folded"), condition=models.Q(("is_hidden", True)), name="user_hidden"
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                models.F("username_folded"),
                condition=models.Q(("must_reset_password", True)),
                name="user_reset",
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                models.F("username_folded"), condition=models.Q(("is_staff", True)), name="user_staff"
            ),
        ),
        migrations.AddField(
            model_name="staffnote",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="staff_notes",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
