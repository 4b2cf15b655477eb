"""How names are compared: by their compatibility-caseless form."""

from __future__ import annotations

import unicodedata

MOST_GROWTH = 18
"""One character folds to at most so many: U+FDFA does. Unicode never changes the forms of assigned characters."""


def fold(text: str) -> str:
    """The form under which two texts are the same name: case, width and ligatures make no difference.

    Source: Unicode Standard section 3.13, D146 (compatibility caseless match).
    """
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKD", folded).casefold()
    return unicodedata.normalize("NFKC", folded)
