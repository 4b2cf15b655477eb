"""``manage.py reset_second_factor USERNAME``: for staff who lost their device and their recovery codes."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand, find_user


class Command(OperatorCommand):
    help = "Removes an account's second factor; where one is required, the next sign-in sets up another."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        super().add_arguments(parser)

    def handle(self, *_args: Any, username: str, reason: str, **_options: Any) -> None:
        if not acts.remove_second_factor(OPERATOR, find_user(username).pk, reason=reason):
            raise CommandError("This account has no second factor.")
        self.stdout.write("The second factor is removed.")
