"""``manage.py list_sessions USERNAME``: the live sessions of an account."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.management.operators import find_user
from accounts.services import list_sessions


class Command(BaseCommand):
    help = "Lists the live sessions of an account, newest first, without addresses: those are for its owner."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *_args: Any, username: str, **_options: Any) -> None:
        sessions = list_sessions(find_user(username).pk)
        if not sessions:
            self.stdout.write("The account has no live session.")
        for session in sessions:
            # The label is the client's own text: quoted, it moves no cursor of the terminal.
            self.stdout.write(
                f"{session.id}  created {session.created_at:%Y-%m-%d %H:%M}"
                f"  last used {session.last_used_at:%Y-%m-%d %H:%M}  {session.client_label!r}"
            )
