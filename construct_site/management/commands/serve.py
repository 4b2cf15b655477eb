"""``manage.py serve``: one server process, Daphne on uvloop."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import django.db
import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from construct_site import checks
from construct_site.env import Config, variable
from construct_site.logs import describe_error
from construct_site.server.sole import refuse_second_process


class Command(BaseCommand):
    help = "Serves HTTP and the socket on HOST and PORT."
    # The refusals below say the same in one list, without Django's report around it.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="bring the database up to date first")

    def handle(self, *_args: Any, migrate: bool, **_options: Any) -> None:
        config: Config = settings.CONSTRUCT
        try:
            checks.refuse_unsafe(config)
            sole_use = _prepare_database(config, migrate=migrate)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        except (django.db.Error, psycopg.Error) as error:
            named_by = variable("database_url" if config.database_url else "data_dir")
            # The error's own text names the database's host and user.
            raise CommandError(
                f"The database that {named_by} names cannot be used: {describe_error(error)}."
            ) from None
        connections.close_all()
        with sole_use:
            # Imported here: only now is this process a server.
            from construct_site.asgi import application
            from construct_site.server import server

            try:
                server.run(application, self._say_where)
            except server.CannotServe as error:
                raise CommandError(str(error)) from None

    def _say_where(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        self.stdout.write(f"Construct serves http://{shown}:{port} and ws://{shown}:{port}")
        self.stdout.flush()


def _prepare_database(config: Config, *, migrate: bool) -> AbstractContextManager[object]:
    """Make sure that the database can be served from; the returned context holds it for this process."""
    if migrate:
        call_command("migrate", interactive=False, verbosity=0)
    checks.refuse_forgetful_database()
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise ImproperlyConfigured("The database is not up to date: serve once with --migrate.")
    return refuse_second_process(config)
