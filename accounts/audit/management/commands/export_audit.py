"""``manage.py export_audit``: the audit as JSON lines."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR
from accounts.audit.export import lines_after
from accounts.desk import acts
from accounts.management.operators import OperatorCommand


class Command(OperatorCommand):
    help = "Writes the audit's entries as JSON lines, oldest first. That it does is the last of them."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--after", type=int, default=0, metavar="NUMBER", help="Only those after this one."
        )
        parser.add_argument("--details", action="store_true", help="With personal fields, before and after.")

    def handle(self, *_args: Any, after: int, details: bool, reason: str, **_options: Any) -> None:
        target = f"after {after}{', with details' if details else ''}"
        acts.announce(OPERATOR, Action.EXPORT_AUDIT, target=target, reason=reason)
        for line in lines_after(after, with_details=details):
            self.stdout.write(line)
