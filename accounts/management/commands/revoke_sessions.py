"""``manage.py revoke_sessions USERNAME [--id ID]``: end sessions of an account."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.management.operators import find_user
from accounts.services import revoke_sessions


class Command(BaseCommand):
    help = "Ends all sessions of an account, or one, and their live sockets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--id", type=UUID, dest="session_id", help="Of one session, as listed.")

    def handle(self, *_args: Any, username: str, session_id: UUID | None, **_options: Any) -> None:
        chosen = None if session_id is None else [session_id]
        revoked = revoke_sessions(find_user(username).pk, chosen)
        if chosen and not revoked:
            raise CommandError("The account has no such session, or it has ended.")
        self.stdout.write(f"{revoked} sessions revoked.")
