"""``manage.py export_user USERNAME [--output FILE]``: everything that is stored about an account."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.audit.actions import Action
from accounts.audit.chain import OPERATOR
from accounts.desk import acts
from accounts.management.operators import OperatorCommand, find_user
from messaging.export import export_user


class Command(OperatorCommand):
    help = "Writes what is stored about an account as JSON, without addresses: those are for its owner."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("username")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="A new file, for its owner alone to read."
        )

    def handle(self, *_args: Any, username: str, output: Path | None, reason: str, **_options: Any) -> None:
        user = find_user(username)
        acts.announce(OPERATOR, Action.EXPORT_USER, user_id=user.pk, reason=reason)
        exported = export_user(user.pk, is_for_owner=False)
        # ASCII alone: what people and their clients wrote moves no cursor of the terminal.
        text = json.dumps(exported, indent=2) + "\n"
        if output is None:
            self.stdout.write(text, ending="")
        else:
            _write_new(output, text)


def _write_new(path: Path, text: str) -> None:
    """Write a file that was not there, with mode 0600: all of it or, on a failure, none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
        except BaseException:
            path.unlink()
            raise
    except FileExistsError:
        raise CommandError("The file is there already; nothing was written.") from None
    except OSError as error:
        raise CommandError(f"The file cannot be written: {error.strerror}.") from None
