"""``manage.py expire_mailbox``: delete expired messages and stubs now."""

from typing import Any

from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand
from construct_site.metrics.store import store_counts
from messaging.housekeeping import expire_mailbox


class Command(OperatorCommand):
    help = "Deletes waiting messages past their life, and stubs of confirmed messages past theirs."

    def handle(self, *_args: Any, reason: str, **_options: Any) -> None:
        acts.announce(OPERATOR, Action.EXPIRE_MAILBOX, reason=reason)
        self.stdout.write(f"{expire_mailbox(timezone.now())} rows deleted.")
        store_counts()
