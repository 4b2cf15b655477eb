from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import pre_delete


class ModerationConfig(AppConfig):
    name = "accounts.moderation"

    def ready(self) -> None:
        pre_delete.connect(_leave_reports, sender=settings.AUTH_USER_MODEL)

        from accounts.moderation import panels

        panels.register()


def _leave_reports(instance: Any, **_signal: Any) -> None:
    """See :func:`~accounts.moderation.reports.leave_reports`."""
    from accounts.moderation.reports import leave_reports

    leave_reports(instance.pk)
