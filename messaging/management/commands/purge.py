"""``manage.py purge``: do now what housekeeping does in each period."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from construct_site.metrics.store import store_counts
from messaging.housekeeping import purge


class Command(BaseCommand):
    help = (
        "Deletes expired messages and stubs, sessions that ended long ago, expired sign-ins to the admin, "
        "names that have rested and expired invites, reset codes, used challenges, old reports and old figures."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        rows = purge(timezone.now())
        acts.note_done(OPERATOR, Action.PURGE, target=f"{rows} rows")
        self.stdout.write(f"{rows} rows deleted.")
        store_counts()
