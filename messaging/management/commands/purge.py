"""``manage.py purge``: do now what housekeeping does in each period."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from messaging.housekeeping import expire_mailbox, purge_accounts


class Command(BaseCommand):
    help = (
        "Deletes expired messages and stubs, sessions that ended long ago, names that have rested and "
        "expired invites, reset codes and used challenges."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        now = timezone.now()
        self.stdout.write(f"{expire_mailbox(now) + purge_accounts(now)} rows deleted.")
