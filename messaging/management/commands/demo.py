"""``manage.py demo``: two accounts talk through a running server, or through one started for it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from messaging.client.demo import DemoFailed, run_demo
from messaging.management.demo_server import DemoServerFailed, demo_server, takes_connections

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what a server on them is reached under


class Command(BaseCommand):
    help = (
        "Registers two accounts and lets them talk, step by step; fails if a step comes out differently. "
        "Without --url: through the server on HOST and PORT, or one started for the time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", help="socket of the server, such as ws://127.0.0.1:3000")
        parser.add_argument("--other-url", help="socket of a second server process, for the second account")

    def handle(self, *_args: Any, url: str | None, other_url: str | None, **_options: Any) -> None:
        if other_url and not url:
            raise CommandError("--other-url needs --url.")
        with ExitStack() as servers:
            try:
                first, second = (url, other_url or url) if url else self._servers(servers)
                asyncio.run(run_demo(first, second, self.stdout.write))
            except (DemoFailed, DemoServerFailed) as fault:
                raise CommandError(f"The demonstration failed: {fault}") from fault
        self.stdout.write("Every step came out as it should.")

    def _servers(self, started: ExitStack) -> tuple[str, str]:
        """The sockets of the running server, or of servers that `started` stops."""
        config = settings.CONSTRUCT
        host = ANY_ADDRESS.get(config.host, config.host)
        if takes_connections(host, config.port):
            url = f"ws://[{host}]:{config.port}" if ":" in host else f"ws://{host}:{config.port}"
            self.stdout.write(f"Using the server on {url}.")
            return url, url
        if config.production:
            raise CommandError("No server is running. In production, name one with --url.")
        log = config.data_dir / "demo-server.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        count = 2 if config.database_url and config.redis_url else 1
        urls = [started.enter_context(demo_server(log)) for _ in range(count)]
        what = "two server processes, one account each" if count == 2 else "a server"
        self.stdout.write(f"Started {what}; output in {log}.")
        return urls[0], urls[-1]
