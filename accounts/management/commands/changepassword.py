"""``manage.py changepassword USERNAME``: another password, for who can reach the server's console."""

from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand, ask_password, find_user
from accounts.services import Credentials, check_new_password


class Command(OperatorCommand):
    """In the place of Django's, which leaves sessions and reset codes as they are."""

    help = (
        "Gives an account another password and ends its sessions. The password is asked for, or read from "
        "the input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        super().add_arguments(parser)

    def handle(self, *_args: Any, username: str, reason: str, **_options: Any) -> None:
        user = find_user(username)
        password = ask_password()
        check_new_password(password, user.username)
        current = Credentials(user.pk, user.password, user.is_active)
        ended = acts.change_password(OPERATOR, current, make_password(password), reason=reason)
        self.stdout.write(f"The password is changed. {ended} sessions ended.")
