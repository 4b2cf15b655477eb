#!/usr/bin/env python
"""Django's command line."""

import os
import sys


def main() -> None:
    # What is written under the data directory is the server's alone.
    os.umask(0o077)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "construct_site.settings")
    if sys.argv[1:2] == ["serve"]:
        # Before anything imports Daphne, which takes the reactor that it finds.
        from construct_site.server import reactor

        reactor.install()
    from construct_site import command_line

    command_line.run(sys.argv)


if __name__ == "__main__":
    main()
