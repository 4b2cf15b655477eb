"""``manage.py createsuperuser``: an account that may do everything in the admin."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.operators import OperatorCommand, ask, ask_password, make_staff

PASSWORD_VARIABLE = "DJANGO_SUPERUSER_PASSWORD"  # noqa: S105 - a name, not a password


class Command(OperatorCommand):
    """In the place of Django's, which takes a name that rests and lets a weak password through.

    Its options, and the variable that it reads the password from, are as there.
    """

    help = (
        "Makes an account that may do everything in the admin. The username is asked for unless it is given, "
        "the password is asked for, or read from the input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--username", help="Of the new account.")
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help=f"Ask for nothing: the password is that of {PASSWORD_VARIABLE}.",
        )

    def handle(
        self, *_args: Any, username: str | None, interactive: bool, reason: str, **_options: Any
    ) -> None:
        if interactive:
            make_staff(username or ask("Username: "), ask_password(), is_superuser=True, reason=reason)
        elif username and (password := os.environ.get(PASSWORD_VARIABLE)):
            make_staff(username, password, is_superuser=True, reason=reason)
        else:
            raise CommandError(f"--noinput needs --username and {PASSWORD_VARIABLE}.")
        self.stdout.write("The superuser is made.")
