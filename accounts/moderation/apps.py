from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import pre_delete


class ModerationConfig(AppConfig):
    name = "accounts.moderation"

    def ready(self) -> None:
        pre_delete.connect(_hold_reports, sender=settings.AUTH_USER_MODEL)


def _hold_reports(instance: Any, **_signal: Any) -> None:
    """Two who reported each other and are deleted at once take the reports in one order."""
    from accounts.moderation.reports import hold_reports

    hold_reports(instance.pk)
