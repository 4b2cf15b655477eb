"""Pages of the documentation that follow from the code: `make docs` writes them, a test compares them."""

from __future__ import annotations

from construct_site import env

CONFIGURATION = env.REPOSITORY / "docs" / "configuration.md"

_INTRODUCTION = """\
# Configuration

Every setting is an environment variable. A variable that is not set, or set to nothing, has its
default. Sizes are in bytes and times in seconds unless the name says otherwise; a list is separated
by commas; a switch is `yes` or `no`. An unknown name that begins with `CONSTRUCT_` is refused at the
start, so a slip of the pen never goes unnoticed, and no message ever shows the value of a variable.

In `development` (`make run`) the keys that are not given are made once and kept in
`development-keys.json` under the data directory. `production` is the default: it makes no keys, and
refuses to start with one that is missing, weak or made for development.

This page is written by `make docs` from `construct_site/env.py`.

| variable | default | meaning |
|---|---|---|
"""


def configuration_page() -> str:
    """`docs/configuration.md`: one row for each field of :class:`construct_site.env.Config`."""
    rows = [
        f"| `{variable}` | {f'`{default}`' if default else ''} | {text} |\n"
        for variable, default, text in env.table()
    ]
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    CONFIGURATION.write_text(configuration_page())
