"""``manage.py purge``: do now what housekeeping does in each period."""

from typing import Any

from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand
from construct_site.metrics.store import store_counts
from messaging.housekeeping import purge


class Command(OperatorCommand):
    help = (
        "Deletes expired messages and stubs, sessions that ended long ago, expired sign-ins to the admin, "
        "names that have rested and expired invites, reset codes, used challenges, old reports and old figures."
    )

    def handle(self, *_args: Any, reason: str, **_options: Any) -> None:
        acts.announce(OPERATOR, Action.PURGE, reason=reason)
        self.stdout.write(f"{purge(timezone.now())} rows deleted.")
        store_counts()
