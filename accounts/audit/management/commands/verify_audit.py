"""``manage.py verify_audit [--head NUMBER:MAC]``: whether the audit is as it was written."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.chain import Head
from accounts.audit.verification import verify

_SHOWN = 20


class Command(BaseCommand):
    help = (
        "Looks for entries of the audit that were changed, taken out, put in or cut off, and names them. "
        "Prints the head: keep it elsewhere, and give it to a later run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--head", type=_head, metavar="NUMBER:MAC", help="A head that was printed or logged earlier."
        )

    def handle(self, *_args: Any, head: Head | None, **_options: Any) -> None:
        verdict = verify(head)
        for fault in verdict.faults[:_SHOWN]:
            self.stderr.write(str(fault))
        if len(verdict.faults) > _SHOWN:
            self.stderr.write(f"and {len(verdict.faults) - _SHOWN} more")
        if verdict.faults:
            raise CommandError("The audit is not as it was written.")
        self.stdout.write(f"{verdict.head.number} entries, as they were written.")
        self.stdout.write(f"Head: {verdict.head}")


def _head(text: str) -> Head:
    try:
        return Head.read(text)
    except ValueError:
        raise ArgumentTypeError("a head is a number, a colon and 64 hexadecimal digits") from None
