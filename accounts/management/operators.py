"""What the commands of operators share."""

from __future__ import annotations

import getpass
import sys
from typing import Any, TextIO

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.desk.lists import refusal_text
from accounts.folding import fold
from accounts.models import User
from accounts.services import check_registration
from accounts.services.rules import is_username
from construct_site.errors import ConstructError


class OperatorCommand(BaseCommand):
    """A command that changes something or gives something out. Each takes ``--reason``, for its entry in the audit.

    What a service refuses is told in one line.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="", help="Why, for the audit.")

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ConstructError as error:
            raise CommandError(refusal_text(error)) from None


def find_user(username: str) -> User:
    """The account of this name, in whatever case it is written. Raises ``CommandError``."""
    # An argument can hold bytes that are no text: no database takes those.
    user = User.objects.filter(username_folded=fold(username)).first() if is_username(username) else None
    if user is None:
        raise CommandError("There is no account of this name.")
    return user


def make_staff(username: str, password: str, *, is_superuser: bool = False, reason: str) -> None:
    """Make an account for the admin, by the rules of every registration. Raises ``ConstructError``."""
    name = check_registration(username, password, None)
    acts.create_staff(
        OPERATOR, username, make_password(password), name, is_superuser=is_superuser, reason=reason
    )


def ask(prompt: str) -> str:
    """One line of the input, which may come from elsewhere than a terminal; empty where that has ended.

    Raises ``CommandError`` if there is no input at all.
    """
    _refuse_closed_input()
    try:
        return input(prompt)
    except EOFError:
        return ""


def ask_password() -> str:
    """A password typed twice at a terminal, else the first line of the input: never an argument, which others see.

    Raises ``CommandError`` if the two differ, or there is no input at all.
    """
    _refuse_closed_input()
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password (again): ") != password:
        raise CommandError("The passwords differ.")
    return password


def _refuse_closed_input() -> None:
    # Python has None where it was closed before the start (`<&-`), its type has not.
    standard_input: TextIO | None = sys.stdin
    if standard_input is None:
        raise CommandError("The input is closed: there is nobody to ask.")
