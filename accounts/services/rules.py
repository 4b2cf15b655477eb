"""What names and passwords must be (protocol section 6)."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from uuid import UUID

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError

from accounts.folding import fold
from accounts.models import BIO_CHARS, DISPLAY_NAME_CHARS, USERNAME, User
from construct_site.errors import ConstructError, ErrorCode

UUID_CHARS = 36
PASSWORD_CHARS = range(8, 128 + 1)
NO_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, lone surrogates, line and paragraph separators."""
INVISIBLE = frozenset({"Cf", "Zs"})
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reorder the text around a name (Unicode Standard Annex 9, section 2)."""


def check_registration(username: str, password: str, display_name: str | None) -> str:
    """Judge what a new user chose; return the display name to store.

    Without a display name it is the username; outer white space goes. Raises
    ``ConstructError``: INVALID_USERNAME, WEAK_PASSWORD or INVALID_DISPLAY_NAME.
    """
    if not is_username(username):
        raise ConstructError(ErrorCode.INVALID_USERNAME)
    check_new_password(password, username)
    return username if display_name is None else checked_display_name(display_name)


def is_username(text: str) -> bool:
    return re.fullmatch(USERNAME, text) is not None


def checked_display_name(text: str) -> str:
    """`text` without outer white space. Raises ``ConstructError(INVALID_DISPLAY_NAME)``."""
    name = text.strip()
    categories = {unicodedata.category(character) for character in name}
    if (
        len(name) > DISPLAY_NAME_CHARS
        or categories & NO_CONTROLS
        or categories <= INVISIBLE
        or BIDI_CONTROLS & set(name)
    ):
        raise ConstructError(ErrorCode.INVALID_DISPLAY_NAME)
    return name


def checked_bio(text: str) -> str:
    """As :func:`checked_prose`."""
    return checked_prose("bio", text, BIO_CHARS)


def checked_prose(field: str, text: str, most: int) -> str:
    """`text` without outer white space. It may have line breaks, a browser's too.

    Raises ``ConstructError(VALIDATION_FAILED)``.
    """
    prose = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(prose) > most or {unicodedata.category(each) for each in prose if each != "\n"} & NO_CONTROLS:
        raise invalid(field, f"At most {most} characters, line breaks but no control characters.")
    return prose


def checked_avatar_url(text: str) -> str:
    """An ``https`` address in ASCII, or nothing. Raises ``ConstructError(VALIDATION_FAILED)``."""
    refusal = invalid("avatarUrl", "An avatar's address begins with https:// and has at most 500 characters.")
    # Django's validator looks at a path for white space alone.
    if not (text.isascii() and text.isprintable()):
        raise refusal
    try:
        User._meta.get_field("avatar_url").run_validators(text)  # noqa: SLF001 - Django's documented name for it
    except ValidationError:
        raise refusal from None
    return text


def invalid(field: str, sentence: str) -> ConstructError:
    """VALIDATION_FAILED of one field, by its name on the wire."""
    return ConstructError(ErrorCode.VALIDATION_FAILED, fields={field: [sentence]})


def is_password_shaped(password: str) -> bool:
    """Whether it can be anybody's password: its length is right and UTF-8 can write it."""
    return len(password) in PASSWORD_CHARS and not any("\ud800" <= each <= "\udfff" for each in password)


def parse_user_id(text: str) -> UUID:
    """As :func:`parse_id`. Raises ``ConstructError(INVALID_USER_ID)``."""
    parsed = parse_id(text)
    if parsed is None:
        raise ConstructError(ErrorCode.INVALID_USER_ID)
    return parsed


def parse_id(text: str) -> UUID | None:
    """The UUID of its 36-character form, in either case, as the wire has it; None for any other text."""
    if len(text) != UUID_CHARS:
        return None
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text.lower() else None


def check_new_password(password: str, username: str) -> None:
    """Raises ``ConstructError(WEAK_PASSWORD)``."""
    if not is_password_shaped(password):
        raise ConstructError(ErrorCode.WEAK_PASSWORD)
    if fold(password) == fold(username):
        raise ConstructError(ErrorCode.WEAK_PASSWORD, "The password must not be the username.")
    try:
        _common_passwords().validate(password)
    except ValidationError:
        raise ConstructError(
            ErrorCode.WEAK_PASSWORD, "This password is one of the most common ones."
        ) from None


@cache
def _common_passwords() -> CommonPasswordValidator:
    """Django's list of 20 000, read once: it is a compressed file."""
    return CommonPasswordValidator()
