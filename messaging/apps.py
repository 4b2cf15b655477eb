from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import pre_delete


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        pre_delete.connect(_hold_mailbox, sender=settings.AUTH_USER_MODEL)

        from messaging import desk

        desk.register()


def _hold_mailbox(instance: Any, **_signal: Any) -> None:
    """A deletion takes its locks in the order of all who lock a mailbox, else the two could wait for each other."""
    from keys.services import hold_bundle

    hold_bundle(instance.pk)
