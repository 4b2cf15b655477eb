"""``manage.py delete_user USERNAME``: remove an account for good."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import add_reason, ask, find_user
from construct_site.errors import ConstructError


class Command(BaseCommand):
    help = "Removes an account with its sessions, keys and waiting messages. Its name rests for a while."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        add_reason(parser)

    def handle(self, *_args: Any, username: str, yes: bool, reason: str, **_options: Any) -> None:
        user = find_user(username)
        if not yes and ask(f"Delete {user.username} for good? Write the name again: ") != user.username:
            raise CommandError("Nothing was deleted.")
        try:
            acts.delete(OPERATOR, user.pk, reason=reason)
        except ConstructError as error:
            raise CommandError(error.text) from None
        self.stdout.write("The account is deleted.")
