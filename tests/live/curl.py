"""The part of curl that the documentation uses, for machines without it: ``python -m tests.live.curl ARGUMENTS``."""

from __future__ import annotations

import argparse
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("--fail-with-body", action="store_true")
    asked = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in asked.headers)
    data = None if asked.data is None else asked.data.encode()
    try:
        request = Request(asked.url, data, headers, method=asked.method)  # noqa: S310 - the page's own addresses
        answer = urlopen(request, timeout=30)  # noqa: S310
    except HTTPError as error:
        sys.stdout.write(error.read().decode())
        return 22
    with answer:
        sys.stdout.write(answer.read().decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
