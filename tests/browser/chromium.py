"""The Chromium that the tests of pages run in: `python -m tests.browser.chromium` sees to it that there is one.

Nothing is installed where one is found. Without one, root on Debian installs the distribution's own; everybody
else is told what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# Without a font of its own Chromium draws boxes.
PACKAGES = ("chromium", "fonts-liberation")
MISSING = (
    "The tests of pages need Chromium or Google Chrome, and found neither. "
    f"On Debian, as root: apt-get install {' '.join(PACKAGES)}"
)
SWITCHES = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
    # No name and no address leads anywhere but to this machine's servers.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""What Chromium is started with, beside Playwright's own."""


def path() -> str:
    """The installed browser's program. Raises RuntimeError, which says what to install, if there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise RuntimeError(MISSING)
    return found


def has_sandbox() -> bool:
    """Chromium refuses to run in its sandbox as root."""
    return os.geteuid() != 0


def main() -> None:
    """Exits with the one line of :data:`MISSING` if there is no browser, and none could be installed."""
    try:
        path()
    except RuntimeError:
        _install()


def _install() -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        sys.exit(MISSING)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            # Another installation may be going on.
            [apt, "-qq", "-o=DPkg::Lock::Timeout=300", *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(MISSING)


if __name__ == "__main__":
    main()
