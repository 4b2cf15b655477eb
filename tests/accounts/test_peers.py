"""Where a request comes from, as read from its ASGI scope."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.peers import Peer
from construct_site.notices import UNTRUSTED_FORWARDING

Headers = list[tuple[bytes, bytes]]


def scope(
    client: Any = ("192.0.2.7", 50000), agent: bytes | None = None, headers: Headers | None = None
) -> dict[str, Any]:
    named = [(b"user-agent", agent)] if agent is not None else []
    return {
        "type": "websocket",
        "client": client,
        "headers": [(b"host", b"localhost"), *named, *(headers or [])],
    }


def forwarded(text: str) -> Headers:
    return [(b"x-forwarded-for", text.encode())]


@pytest.fixture(autouse=True)
def _nothing_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UNTRUSTED_FORWARDING, "is_given", False)


@pytest.fixture
def _behind_proxies(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, trusted_proxies=["10.0.0.0/8", "2001:db8:aa::1"])


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/construct.sock", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_has_one_form(host: str, address: str) -> None:
    assert Peer.from_scope(scope((host, 50000))).address == address


@pytest.mark.parametrize("client", [None, (), ("", 0), [""]])
def test_a_connection_without_an_address_comes_from_somewhere_unknown(client: Any) -> None:
    assert Peer.from_scope(scope(client)).address == "unknown"
    assert Peer.from_scope({"type": "websocket"}).address == "unknown"


@pytest.mark.parametrize(
    ("agent", "label"),
    [
        (None, ""),
        (b"", ""),
        (b"Construct/2.0 (iPhone; iOS 19)", "Construct/2.0 (iPhone; iOS 19)"),
        (b"  a\x00b\x1b[31mc\r\n\x85d  ", "ab[31mcd"),
        (b"x" * 100, "x" * 64),
        ("naïve".encode("latin-1"), "naïve"),
    ],
)
def test_a_client_is_labelled_by_its_user_agent(agent: bytes | None, label: str) -> None:
    assert Peer.from_scope(scope(agent=agent)).client_label == label


@given(st.binary())
def test_any_header_makes_a_label_that_is_short_and_printable(agent: bytes) -> None:
    label = Peer.from_scope(scope(agent=agent)).client_label
    assert len(label) <= 64
    assert label.isprintable()


@given(st.text())
def test_any_text_makes_an_address(host: str) -> None:
    assert Peer.from_scope(scope((host, 1))).address


@pytest.mark.usefixtures("_behind_proxies")
@pytest.mark.parametrize(
    ("host", "named", "address"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9:5678", "203.0.113.9"),
        ("2001:db8:aa::1", "[2001:db8:1:2::3]:443", "2001:db8:1:2::/64"),
        ("10.0.0.1", "203.0.113.9, 2001:db8:aa::1", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_behind_a_trusted_proxy_the_client_is_who_it_names(host: str, named: str, address: str) -> None:
    assert Peer.from_scope(scope((host, 1), headers=forwarded(named))).address == address
    assert not UNTRUSTED_FORWARDING.is_given


@pytest.mark.usefixtures("_behind_proxies")
@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        # A neighbour of the proxy: the /64 is for counting, not for trusting.
        ("2001:db8:aa::2", "2001:db8:aa::/64"),
        ("", "unknown"),
    ],
)
def test_the_header_of_anybody_else_is_noticed_and_changes_nothing(host: str, address: str) -> None:
    assert Peer.from_scope(scope((host, 1), headers=forwarded("198.51.100.1"))).address == address
    assert UNTRUSTED_FORWARDING.is_given


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"forwarded", b"x-real-ip"])
def test_without_trusted_proxies_every_forwarding_header_is_noticed(name: bytes) -> None:
    peer = Peer.from_scope(scope(headers=[(name, b"for=198.51.100.1")]))
    assert peer.address == "192.0.2.7"
    assert UNTRUSTED_FORWARDING.is_given


def test_a_connection_without_a_forwarding_header_is_not_noticed() -> None:
    Peer.from_scope(scope(agent=b"x-forwarded-for", headers=[(b"x-forwarded-proto", b"https")]))
    assert not UNTRUSTED_FORWARDING.is_given
