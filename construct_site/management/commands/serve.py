"""``manage.py serve``: server processes, Daphne on uvloop. One, or several under a supervisor."""

from __future__ import annotations

import asyncio
import socket
import sys
from argparse import SUPPRESS, ArgumentTypeError
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQLConnection

from construct_site import checks
from construct_site.command_line import DATABASE_ERRORS, unusable_database
from construct_site.env import REPOSITORY, Config, variable
from construct_site.server import worker
from construct_site.server.listening import CannotServe, bind, inherited
from construct_site.server.sole import refuse_second_process
from construct_site.server.supervisor import Supervisor, WorkersFailed

Listen = Callable[[], socket.socket]
WORKERS_MAX = 64
_WORKER = (sys.executable, str(REPOSITORY / "manage.py"), "serve")


class Command(BaseCommand):
    help = "Serves HTTP and the socket on HOST and PORT."
    # The refusals below say the same in one list, without Django's report around it.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="bring the database up to date first")
        processes = parser.add_mutually_exclusive_group()
        processes.add_argument(
            "--workers",
            type=_number_of_workers,
            default=1,
            metavar="N",
            help="serve with N processes, which needs REDIS_URL; SIGHUP replaces them one after the other",
        )
        processes.add_argument(
            "--fd",
            type=int,
            metavar="N",
            help="listen on this inherited descriptor, a listening TCP socket, in place of HOST and PORT",
        )
        # What a supervisor gives its workers.
        parser.add_argument("--admin-fd", type=int, help=SUPPRESS)
        parser.add_argument("--ready-fd", type=int, help=SUPPRESS)
        parser.add_argument("--lifeline-fd", type=int, help=SUPPRESS)

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["lifeline_fd"] is not None:
            worker.end_with_supervisor(options["lifeline_fd"])
        config: Config = settings.CONSTRUCT
        workers: int = options["workers"]
        try:
            listen, judged = _source(config, options["fd"])
            checks.refuse_unsafe(judged)
            checks.refuse_unusable_parts()
            _refuse_unheard_workers(config, workers)
            listen_for_admin = _admin_source(config, options["admin_fd"])
            sole_use = _prepare_database(config, migrate=options["migrate"])
        except (CannotServe, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from None
        except DATABASE_ERRORS as error:
            raise CommandError(unusable_database(error)) from None
        connections.close_all()
        with sole_use:
            try:
                if workers > 1:
                    admin_listener = listen_for_admin() if listen_for_admin else None
                    self._supervise(config, listen(), admin_listener, workers)
                else:
                    self._serve(listen, listen_for_admin, options["ready_fd"])
            except (CannotServe, WorkersFailed) as error:
                raise CommandError(str(error)) from None

    def _serve(self, listen: Listen, listen_for_admin: Listen | None, ready_fd: int | None) -> None:
        # Imported here: only now is this process a server.
        from construct_site.asgi import application
        from construct_site.server import server

        if ready_fd is None:
            server.run(application, listen, self._say_where, listen_for_admin)
        else:
            server.run(application, listen, lambda _host, _port: worker.say_ready(ready_fd), listen_for_admin)

    def _supervise(
        self, config: Config, listener: socket.socket, admin_listener: socket.socket | None, workers: int
    ) -> None:
        for database in connections.all():
            if isinstance(database, PostgreSQLConnection):
                database.close_pool()
        host, port = listener.getsockname()[:2]
        supervisor = Supervisor(
            _WORKER,
            listener,
            workers,
            drain_s=config.drain_s,
            on_ready=partial(self._say_where, host, port),
            admin_listener=admin_listener,
        )
        asyncio.run(supervisor.run())

    def _say_where(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        self.stdout.write(f"Construct serves http://{shown}:{port} and ws://{shown}:{port}")
        config: Config = settings.CONSTRUCT
        if config.admin_listen:
            self.stdout.write(f"The admin is at http://{config.admin_listen}/{config.admin_path}")
        self.stdout.flush()


def _number_of_workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= WORKERS_MAX:
        raise ArgumentTypeError(f"a number from 1 to {WORKERS_MAX} is needed")
    return int(text)


def _admin_source(config: Config, fd: int | None) -> Listen | None:
    """What gives the socket of the admin's own listener; None if it has none. Raises ``CannotServe``."""
    if config.admin_address is None:
        return None
    if fd is not None:
        listener = inherited(fd)
        return lambda: listener
    return partial(bind, *config.admin_address, variable("admin_listen"))


def _source(config: Config, fd: int | None) -> tuple[Listen, Config]:
    """What gives the socket to listen on, and the configuration as it is to be judged: with that address."""
    if fd is None:
        return partial(bind, config.host, config.port), config
    listener = inherited(fd)
    return lambda: listener, replace(config, host=listener.getsockname()[0])


def _refuse_unheard_workers(config: Config, workers: int) -> None:
    if workers > 1 and not config.redis_url:
        raise ImproperlyConfigured(
            "Several workers need REDIS_URL: without it none hears of what another stored, "
            "and recipients would not be rung."
        )


def _prepare_database(config: Config, *, migrate: bool) -> AbstractContextManager[object]:
    """Make sure that the database can be served from; the returned context holds it for this process."""
    if migrate:
        call_command("migrate", interactive=False, verbosity=0)
    checks.refuse_forgetful_database()
    if not checks.is_migrated():
        raise ImproperlyConfigured("The database is not up to date: serve once with --migrate.")
    return refuse_second_process(config)
