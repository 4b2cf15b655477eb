"""What the commands of operators share."""

from __future__ import annotations

import getpass
import sys

from django.core.management.base import CommandError, CommandParser

from accounts.folding import fold
from accounts.models import User
from accounts.services.rules import is_username


def find_user(username: str) -> User:
    """The account of this name, in whatever case it is written. Raises ``CommandError``."""
    # An argument can hold bytes that are no text: no database takes those.
    user = User.objects.filter(username_folded=fold(username)).first() if is_username(username) else None
    if user is None:
        raise CommandError("There is no account of this name.")
    return user


def add_reason(parser: CommandParser) -> None:
    """``--reason``, for the audit."""
    parser.add_argument("--reason", default="", help="Why, for the audit.")


def ask_password() -> str:
    """A password typed twice at a terminal, else the first line of the input: never an argument, which others see.

    Raises ``CommandError`` if the two differ.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password (again): ") != password:
        raise CommandError("The passwords differ.")
    return password
