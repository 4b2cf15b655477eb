"""``manage.py reset_second_factor USERNAME``: for staff who lost their device and their recovery codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.management.operators import find_user
from accounts.second_factor.services import remove


class Command(BaseCommand):
    help = "Removes an account's second factor; where one is required, the next sign-in sets up another."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", default="", help="kept in the audit")

    def handle(self, *_args: Any, username: str, reason: str, **_options: Any) -> None:
        if not remove(OPERATOR, find_user(username).pk, reason):
            raise CommandError("This account has no second factor.")
        self.stdout.write("The second factor is removed.")
