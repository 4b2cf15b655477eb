"""The documents that are written from the code, or that name parts of it, are in step with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from construct_site import env, reference
from tests.load import report, results
from tests.load.bench import NUMBERS

DOCS = env.REPOSITORY / "docs"
PAGES = [*env.REPOSITORY.glob("*.md"), *env.REPOSITORY.glob("docs/**/*.md")]


def test_the_configuration_page_is_what_make_docs_writes() -> None:
    assert reference.CONFIGURATION.read_text() == reference.configuration_page(), "run make docs"


def test_the_benchmarks_page_is_what_its_results_say() -> None:
    found = results.read((DOCS / "benchmarks.json").read_bytes())
    assert (DOCS / "benchmarks.md").read_text() == report.page(found)
    # A page of some scenarios would hide the others.
    assert {row.scenario for row in found.rows} == set(NUMBERS)
    assert found.is_faultless


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(env.REPOSITORY)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text())
    dead = [link for link in links if not (page.parent / link).exists()]
    assert dead == []


def test_each_variable_that_a_page_names_exists() -> None:
    known = {variable for variable, _, _ in env.table()}
    for page in PAGES:
        named = set(re.findall(r"CONSTRUCT_[A-Z_]*[A-Z]", page.read_text()))
        assert named <= known, page


def test_the_readme_names_every_chore_of_the_makefile() -> None:
    chores = set(
        re.findall(r"^([a-z]+):.*?## ", (env.REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    )
    assert chores >= {"run", "test", "check", "demo", "admin"}
    documents = "".join(page.read_text() for page in PAGES)
    assert {chore for chore in chores if f"make {chore}" not in documents} == set()
