"""Where a request comes from, as read from its ASGI scope."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.peers import Peer


def scope(client: Any = ("192.0.2.7", 50000), agent: bytes | None = None) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), *([(b"user-agent", agent)] if agent is not None else [])]
    return {"type": "websocket", "client": client, "headers": headers}


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
