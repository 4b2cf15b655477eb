"""The roles of staff, with the permissions of their acts."""

from typing import Any

from django.db import migrations

from accounts.desk.permissions import write_roles


def make_roles(apps: Any, _editor: Any) -> None:
    write_roles(apps)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0007_search_in_steps"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="Desk",
            fields=[],
            options={
                "verbose_name_plural": "desk",
                "permissions": [
                    ("suspend_user", "May suspend user"),
                    ("revoke_sessions", "May revoke sessions"),
                    ("require_password_reset", "May require password reset"),
                    ("clear_mailbox", "May clear mailbox"),
                    ("rename_user", "May rename user"),
                    ("hide_user", "May hide user"),
                    ("approve_user", "May approve user"),
                    ("set_limits", "May set limits"),
                    ("delete_user", "May delete user"),
                    ("add_note", "May add note"),
                    ("handle_report", "May handle report"),
                    ("make_invite", "May make invite"),
                    ("end_invite", "May end invite"),
                    ("view_settings", "May view settings"),
                    ("purge", "May purge"),
                    ("export_user", "May export user"),
                    ("export_audit", "May export audit"),
                ],
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("accounts.user",),
        ),
        migrations.RunPython(make_roles, migrations.RunPython.noop),
    ]
