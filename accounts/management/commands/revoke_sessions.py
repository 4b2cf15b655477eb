"""``manage.py revoke_sessions USERNAME [--id ID]``: end sessions of an account."""

from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand, find_user


class Command(OperatorCommand):
    help = "Ends all sessions of an account, or one, and their live sockets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--id", type=UUID, dest="session_id", help="Of one session, as listed.")
        super().add_arguments(parser)

    def handle(
        self, *_args: Any, username: str, session_id: UUID | None, reason: str, **_options: Any
    ) -> None:
        chosen = None if session_id is None else [session_id]
        user = find_user(username)
        revoked = acts.revoke_sessions(OPERATOR, user.pk, session_ids=chosen, reason=reason)
        if chosen and not revoked:
            raise CommandError("The account has no such session, or it has ended.")
        self.stdout.write(f"{revoked} sessions revoked.")
