"""Codes that people are handed: found by scanners, kept as a digest, good for one purpose."""

from __future__ import annotations

import re

import pytest
from pytest_django import Settings

from accounts.services.codes import CodeKind

INVITE = CodeKind("construct_invite_", b"one purpose")
RESET = CodeKind("construct_reset_", b"another purpose")


def test_a_code_is_a_prefix_and_128_random_bits() -> None:
    codes = {RESET.make() for _ in range(100)}
    assert len(codes) == 100
    assert all(re.fullmatch(r"construct_reset_[A-Za-z0-9_-]{22}", code) for code in codes)


def test_a_digest_is_of_one_code_one_purpose_and_one_server(settings: Settings) -> None:
    code = RESET.make()
    digest = RESET.digest(code)
    assert len(digest) == 16
    assert digest == RESET.digest(code)
    others = [RESET.digest(RESET.make()), RESET.digest(code + " "), INVITE.digest(code)]
    settings.SECRET_KEY = "another secret key that is long enough to be taken for one"
    others.append(RESET.digest(code))
    assert digest not in others


@pytest.mark.parametrize("text", ["", "construct_reset_", "\x00", "\ud800", "x" * 1_000_000])
def test_any_text_has_a_digest(text: str) -> None:
    assert len(RESET.digest(text)) == 16
