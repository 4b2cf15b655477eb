"""What is publicly known against the locked packages: `python -m tests.audit`.

Exit code 0: every package was looked up, and nothing is known. 1: something is known.
2: not every package could be looked up, as without a way to an advisory source; pip-audit
itself ends with 0 then.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum

import msgspec

from construct_site.env import REPOSITORY

LOCKS = ("requirements.lock", "requirements-dev.lock")
SOURCES = ("pypi", "osv")
"""pip-audit's names of its advisory sources, in the order in which they are asked."""
WITHIN_S = 900


class Outcome(IntEnum):
    """The exit codes."""

    NOTHING_KNOWN = 0
    KNOWN = 1
    NOT_CHECKED = 2


class Advisory(msgspec.Struct, frozen=True):
    """One thing that is known against a version."""

    id: str
    fix_versions: list[str] = []


class Package(msgspec.Struct, frozen=True):
    """A package as pip-audit tells of it; `skip_reason` stands for a look-up that failed."""

    name: str
    version: str = ""
    vulns: list[Advisory] = []
    skip_reason: str = ""


class Report(msgspec.Struct, frozen=True):
    """pip-audit's JSON form."""

    dependencies: list[Package]


Ask = Callable[[str, str], bytes]
"""pip-audit's report of a lock file by a source; it may be no report at all."""


def ask(lock: str, source: str) -> bytes:
    """What pip-audit writes on standard output. It looks packages up by name and version and installs none."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes", "--disable-pip"]
    command += ["--vulnerability-service", source, "--format", "json", "--progress-spinner", "off"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=WITHIN_S, check=False)
    return run.stdout


def judge(report: bytes) -> tuple[Outcome, list[str]]:
    """The outcome, and a line for people about each package that is not fine."""
    try:
        packages = msgspec.json.decode(report, type=Report).dependencies
    except msgspec.DecodeError:
        packages = []
    known = [_line(package, advisory) for package in packages for advisory in package.vulns]
    skipped = [package.name for package in packages if package.skip_reason]
    if len(skipped) == len(packages):
        return Outcome.NOT_CHECKED, ["no advisory source could be reached: nothing was checked"]
    lines = [*known, f"not checked: {', '.join(skipped)}"] if skipped else known
    if known:
        return Outcome.KNOWN, lines
    return (Outcome.NOT_CHECKED, lines) if skipped else (Outcome.NOTHING_KNOWN, lines)


def _line(package: Package, advisory: Advisory) -> str:
    fixed = ", ".join(advisory.fix_versions) or "none yet"
    return f"{package.name} {package.version}: {advisory.id}, fixed in: {fixed}"


def audit(locks: Sequence[str] = LOCKS, ask: Ask = ask) -> Outcome:
    """Look up every lock file and print what came of it. A source that cannot check all is followed by the next."""
    outcomes = [_audit_lock(lock, ask) for lock in locks]
    if Outcome.KNOWN in outcomes:
        return Outcome.KNOWN
    return max(outcomes)


def _audit_lock(lock: str, ask: Ask) -> Outcome:
    for source in SOURCES:
        outcome, lines = judge(ask(lock, source))
        if outcome is not Outcome.NOT_CHECKED:
            break
    for line in lines or [f"nothing is known against any of its packages ({source})"]:
        print(f"{lock}: {line}")
    return outcome


if __name__ == "__main__":
    sys.exit(audit())
