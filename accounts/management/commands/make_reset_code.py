"""``manage.py make_reset_code USERNAME [--require]``: let who forgot their password choose another."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand, find_user


class Command(OperatorCommand):
    help = (
        "Makes a password-reset code of an account, in the place of an earlier one, and prints it: "
        "it works once and cannot be shown again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--require", action="store_true", help="End all sessions and refuse logins until it is redeemed."
        )
        super().add_arguments(parser)

    def handle(self, *_args: Any, username: str, require: bool, reason: str, **_options: Any) -> None:
        user = find_user(username)
        made = acts.make_reset_code(OPERATOR, user.pk, is_required=require, reason=reason)
        self.stdout.write(made.code)
        self.stdout.write(f"It works once, until {made.expires_at:%Y-%m-%d %H:%M} UTC.")
