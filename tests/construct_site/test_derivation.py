"""Keys and digests of the server's secret."""

from __future__ import annotations

from pytest_django import Settings

from construct_site.derivation import derived_key, keyed_digest


def test_each_purpose_and_each_secret_has_a_key_of_its_own(settings: Settings) -> None:
    settings.SECRET_KEY = "one"
    keys = [derived_key(b"peers"), derived_key(b"names")]
    assert derived_key(b"peers") == keys[0]
    settings.SECRET_KEY = "another"
    keys += [derived_key(b"peers"), derived_key(b"names")]
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {32}


def test_a_digest_depends_on_the_purpose_and_the_data() -> None:
    digests = {keyed_digest(purpose, data) for purpose in (b"a", b"b") for data in (b"x", b"y")}
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {16}
