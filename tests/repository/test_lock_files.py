"""The lock files pin, with hashes, what `pyproject.toml` asks for."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from construct_site.env import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
RUN = PROJECT["project"]["dependencies"]
DEVELOPMENT = PROJECT["dependency-groups"]["dev"]


def entries(name: str) -> list[str]:
    """The requirements of a lock file: one string each, with its hashes."""
    text = re.sub(r"^\s*#.*\n", "", (REPOSITORY / name).read_text(), flags=re.MULTILINE)
    return text.replace("\\\n", "").strip().splitlines()


def pins(name: str) -> dict[str, set[str]]:
    """The versions of each package in a lock file: more than one where they depend on the platform."""
    found: dict[str, set[str]] = {}
    for entry in entries(name):
        pinned = Requirement(entry.split("--hash=")[0].strip())
        found.setdefault(canonicalize_name(pinned.name), set()).update(
            each.version for each in pinned.specifier
        )
    return found


@pytest.mark.parametrize(
    ("lock", "direct"), [("requirements.lock", RUN), ("requirements-dev.lock", RUN + DEVELOPMENT)]
)
def test_each_direct_dependency_is_locked_within_its_bounds(lock: str, direct: list[str]) -> None:
    locked = pins(lock)
    for requirement in map(Requirement, direct):
        versions = locked.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is not in {lock}: run make lock"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_each_locked_package_is_pinned_and_has_a_hash(lock: str) -> None:
    for entry in entries(lock):
        assert re.match(r"[a-z0-9.-]+(\[[a-z0-9,-]+\])?==\S+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_development_runs_on_the_very_versions_of_production() -> None:
    development = pins("requirements-dev.lock")
    for name, versions in pins("requirements.lock").items():
        assert development.get(name) == versions, name


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_no_lock_file_names_an_index(lock: str) -> None:
    text = (REPOSITORY / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text
