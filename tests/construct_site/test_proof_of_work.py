"""Proof of work: a hash that begins with zero bits."""

from __future__ import annotations

import hashlib

import pytest

from construct_site.proof_of_work import proves, search

WORK = "challenge:162754"
"""Its SHA-256 begins 0000681a: 17 zero bits."""


def test_work_proves_as_many_bits_as_its_hash_begins_with() -> None:
    assert hashlib.sha256(WORK.encode()).hexdigest().startswith("0000681a")
    assert [proves(WORK, bits) for bits in (1, 16, 17, 18, 28)] == [True, True, True, False, False]


def test_the_first_nonce_that_does_is_found() -> None:
    assert search("challenge", 16, range(10**6)) == WORK
    assert search("challenge", 16, range(162_754)) is None


@pytest.mark.parametrize("bits", range(1, 13))
def test_what_is_found_proves_what_was_asked_for(bits: int) -> None:
    work = search("another", bits, range(10**6))
    assert work is not None
    assert work.startswith("another:")
    assert proves(work, bits)
