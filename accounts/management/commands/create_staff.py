"""``manage.py create_staff USERNAME``: an account for the admin."""

from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import add_reason, ask_password
from accounts.services import check_registration
from construct_site.errors import ConstructError


class Command(BaseCommand):
    help = "Makes an account that may log into the admin. The password is asked for, or read from the input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        add_reason(parser)

    def handle(self, *_args: Any, username: str, reason: str, **_options: Any) -> None:
        password = ask_password()
        try:
            name = check_registration(username, password, None)
            acts.create_staff(OPERATOR, username, make_password(password), name, reason=reason)
        except ConstructError as error:
            raise CommandError(error.text) from None
        self.stdout.write("The account is made. A superuser gives it rights in the admin.")
