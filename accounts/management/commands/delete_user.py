"""``manage.py delete_user USERNAME``: remove an account for good."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand, ask, find_user


class Command(OperatorCommand):
    help = "Removes an account with its sessions, keys and waiting messages. Its name rests for a while."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        super().add_arguments(parser)

    def handle(self, *_args: Any, username: str, yes: bool, reason: str, **_options: Any) -> None:
        user = find_user(username)
        if not yes and ask(f"Delete {user.username} for good? Write the name again: ") != user.username:
            raise CommandError("Nothing was deleted.")
        acts.delete(OPERATOR, user.pk, reason=reason)
        self.stdout.write("The account is deleted.")
