"""``manage.py expire_mailbox``: delete expired messages and stubs now."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from construct_site.metrics.store import store_counts
from messaging.housekeeping import expire_mailbox


class Command(BaseCommand):
    help = "Deletes waiting messages past their life, and stubs of confirmed messages past theirs."

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stdout.write(f"{expire_mailbox(timezone.now())} rows deleted.")
        store_counts()
