"""``manage.py make_invite``: a code with which people register."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand
from accounts.models import INVITE_DAYS_MAX, INVITE_NOTE_CHARS, INVITE_USES_MAX

USES = range(1, INVITE_USES_MAX + 1)
DAYS = range(1, INVITE_DAYS_MAX + 1)


class Command(OperatorCommand):
    help = "Makes an invite and prints its code, which cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--uses", type=int, default=1, help="registrations that it lets through (1)")
        parser.add_argument("--days", type=int, default=7, help="days after which it expires (7)")
        parser.add_argument("--note", default="", help="for whom it is, shown in the admin")
        super().add_arguments(parser)

    def handle(self, *_args: Any, uses: int, days: int, note: str, reason: str, **_options: Any) -> None:
        if uses not in USES or days not in DAYS:
            raise CommandError(f"--uses goes from 1 to {USES[-1]}, --days from 1 to {DAYS[-1]}.")
        if len(note) > INVITE_NOTE_CHARS:
            raise CommandError(f"--note has at most {INVITE_NOTE_CHARS} characters.")
        self.stdout.write(acts.make_invite(OPERATOR, uses, timedelta(days=days), note=note, reason=reason))
