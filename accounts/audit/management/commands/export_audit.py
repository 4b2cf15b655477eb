"""``manage.py export_audit``: the audit as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR
from accounts.audit.models import AuditEntry
from accounts.desk import acts


class Command(BaseCommand):
    help = "Writes the audit's entries as JSON lines, oldest first. That it did is an entry too."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--after", type=int, default=0, metavar="NUMBER", help="Only those after this one."
        )
        parser.add_argument("--details", action="store_true", help="With personal fields, before and after.")

    def handle(self, *_args: Any, after: int, details: bool, **_options: Any) -> None:
        for line in lines(after, with_details=details):
            self.stdout.write(line)
        acts.note_done(OPERATOR, Action.EXPORT_AUDIT)


def lines(after: int, *, with_details: bool) -> Iterator[str]:
    rows = AuditEntry.objects.filter(number__gt=after).order_by("number")
    for entry in (rows.select_related("details") if with_details else rows).iterator():
        told = {
            "number": entry.number,
            "at": entry.at.isoformat(),
            "actor": entry.actor_kind,
            "actorId": entry.actor_id and str(entry.actor_id),
            "action": entry.action,
            "userId": entry.user_id and str(entry.user_id),
            "target": entry.target,
            "reason": entry.reason,
            "mac": bytes(entry.mac).hex(),
        }
        if with_details:
            told["changes"] = entry.details.changes if hasattr(entry, "details") else None
        # ASCII alone: what people wrote moves no cursor of the terminal.
        yield json.dumps(told)
