"""The documents that are written from the code, or that name parts of it, are in step with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from construct_site import env, reference
from construct_site.errors import ErrorCode
from tests.load import report, results
from tests.load.bench import NUMBERS

DOCS = env.REPOSITORY / "docs"
PAGES = [*env.REPOSITORY.glob("*.md"), *env.REPOSITORY.glob("docs/**/*.md")]


@pytest.mark.parametrize("path", reference.PAGES, ids=lambda path: path.name)
def test_each_page_that_follows_from_the_code_is_what_make_docs_writes(path: Path) -> None:
    assert path.read_text() == reference.PAGES[path](), "run make docs"


def test_the_page_of_errors_has_a_whole_row_for_each_code() -> None:
    rows = [line for line in reference.errors_page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(ErrorCode)
    assert {row.count("|") for row in rows} == {6}
    assert "| `AUTH_REQUIRED` | 401 | Log in first. | no | 4401 |" in rows


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
