"""Serve a relay on Daphne as it comes, on Construct's event loop: `python -m tests.load.relays.serve NAME PORT`."""

from __future__ import annotations

import importlib
import sys

from construct_site.server.reactor import install

BACKLOG = 2048
"""As Construct's server: how many connections may arrive at once is not what is compared."""


def main(name: str, port: int) -> None:
    """Serve until SIGTERM."""
    install()
    from daphne.server import Server

    application = importlib.import_module(f"tests.load.relays.{name}").application
    Server(application, [f"tcp:port={port}:interface=127.0.0.1:backlog={BACKLOG}"], verbosity=0).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
