"""Pages of the documentation that follow from the code: `make docs` writes them, a test compares them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from construct_site import env
from construct_site.errors import ERRORS

_ABOUT_CONFIGURATION = """\
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
_ABOUT_ERRORS = """\
# Error codes

One table for the socket and for REST. A program goes by the code; the text is for people, and a refusal that knows
more (when to come back, which field) has another. A code that a client does not know refuses that request.

- **Retry**: whether the same request can succeed later. Under `no` it comes to the same answer until something else
  has changed.
- **Close**: with which code the socket is closed where the error ends it ([protocol.md](protocol.md#closes)); the same
  error elsewhere leaves it open.
- `INVALID_CREDENTIALS` to a request that has a session is about the password that the request brought: the session
  goes on. `AUTH_REQUIRED` and `INVALID_TOKEN` are about the session: log in again.

This page is written by `make docs` from `construct_site/errors.py`.

| code | HTTP | text | retry | close |
|---|---|---|---|---|
"""


def configuration_page() -> str:
    """`docs/configuration.md`: one row for each field of :class:`construct_site.env.Config`."""
    rows = [
        f"| `{variable}` | {f'`{default}`' if default else ''} | {text} |\n"
        for variable, default, text in env.table()
    ]
    return _ABOUT_CONFIGURATION + "".join(rows)


def errors_page() -> str:
    """`docs/errors.md`: one row for each of :data:`construct_site.errors.ERRORS`."""
    rows = [
        f"| `{code}` | {row.http_status} | {row.text} | {'yes' if row.may_retry else 'no'} | "
        f"{'' if row.close is None else row.close.value} |\n"
        for code, row in ERRORS.items()
    ]
    return _ABOUT_ERRORS + "".join(rows)


PAGES: dict[Path, Callable[[], str]] = {
    env.REPOSITORY / "docs" / "configuration.md": configuration_page,
    env.REPOSITORY / "docs" / "errors.md": errors_page,
}

if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page())
