"""``manage.py serve``: one server process, Daphne on uvloop."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from construct_site import checks
from construct_site.server.sole import refuse_second_process


class Command(BaseCommand):
    help = "Serves HTTP and the socket on HOST and PORT."
    # The refusals below say the same in one list, without Django's report around it.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="bring the database up to date first")

    def handle(self, *_args: Any, migrate: bool, **_options: Any) -> None:
        try:
            checks.refuse_unsafe(settings.CONSTRUCT)
            if migrate:
                call_command("migrate", interactive=False, verbosity=0)
            checks.refuse_forgetful_database()
            sole_use = refuse_second_process(settings.CONSTRUCT)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        connections.close_all()
        with sole_use:
            # Imported here: only now is this process a server.
            from construct_site.asgi import application
            from construct_site.server import server

            server.run(application, self._say_where)

    def _say_where(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        self.stdout.write(f"Construct serves http://{shown}:{port} and ws://{shown}:{port}")
        self.stdout.flush()
