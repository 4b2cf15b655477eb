"""``manage.py create_staff USERNAME``: an account for the admin."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.operators import OperatorCommand, ask_password, make_staff


class Command(OperatorCommand):
    help = "Makes an account that may log into the admin. The password is asked for, or read from the input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        super().add_arguments(parser)

    def handle(self, *_args: Any, username: str, reason: str, **_options: Any) -> None:
        make_staff(username, ask_password(), reason=reason)
        self.stdout.write("The account is made. A superuser gives it rights in the admin.")
