"""The forwarding header: what is believed of it, and that nothing further left ever is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from construct_site import proxies
from construct_site.proxies import HOP_BYTES_MAX, HOPS_MAX, Address, client_address, is_within, read_networks

TRUSTED = read_networks(("10.0.0.0/8", "2001:db8:aa::/48", "192.0.2.1"))
PROXY = ip_address("10.0.0.1")


def forwarded(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"chat.example"), *((b"x-forwarded-for", line.encode("latin-1")) for line in lines)]


def client(*lines: str, peer: Address = PROXY) -> str:
    return str(client_address(peer, forwarded(*lines), TRUSTED))


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["  203.0.113.9\t"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1,203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9", "10.0.0.2,192.0.2.1"], "203.0.113.9"),
        (["203.0.113.9, 192.0.2.2"], "192.0.2.2"),
        (["2001:db8:bb::7, 2001:db8:aa:1::1"], "2001:db8:bb::7"),
        (["::ffff:203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
    ],
)
def test_the_nearest_address_that_is_no_proxys_is_the_clients(lines: list[str], address: str) -> None:
    assert client(*lines) == address


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.9:5678", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[::ffff:203.0.113.9]:443", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_ports_and_brackets_are_taken(entry: str, address: str) -> None:
    assert client(entry) == address


MALFORMED = [
    "",
    " ",
    "unknown",
    "_hidden",
    "chat.example",
    "203.0.113",
    "203.0.113.256",
    "203.0.113.009",
    "0xcb.0.113.9",
    "3405803785",
    "203.0.113.9:",
    "203.0.113.9:port",
    "203.0.113.9:123456",
    "203.0.113.9/32",
    "203.0.113.9 198.51.100.1",
    '"203.0.113.9"',
    "for=203.0.113.9",
    "[2001:db8::1",
    "2001:db8::1]",
    "[2001:db8::1]443",
    "[]",
    "2001:db8:::1",
    "fe80::1%eth0",
    "٢٠٣.0.113.9".encode().decode("latin-1"),
    "203.0.113.9\x00",
    " " * HOP_BYTES_MAX + "203.0.113.9",
]


@pytest.mark.parametrize("entry", MALFORMED)
def test_what_is_no_address_ends_the_reading_at_the_proxy_that_wrote_it(entry: str) -> None:
    assert client(f"198.51.100.1, {entry}") == "10.0.0.1"
    assert client(f"198.51.100.1, {entry}, 10.0.0.2") == "10.0.0.2"
    assert client(f"{entry}, 203.0.113.9") == "203.0.113.9", "nobody reads so far"


@pytest.mark.parametrize("lines", [[], [""], [","]])
def test_a_proxy_that_names_nobody_counts_itself(lines: list[str]) -> None:
    assert client(*lines) == "10.0.0.1"


def test_a_client_within_the_trusted_networks_is_the_furthest_of_them() -> None:
    assert client("10.9.9.9, 10.0.0.3, 10.0.0.2") == "10.9.9.9"


def test_another_header_than_the_one_is_not_read() -> None:
    headers = [(b"forwarded", b"for=203.0.113.9"), (b"x-real-ip", b"203.0.113.9")]
    assert client_address(PROXY, headers, TRUSTED) == PROXY


@pytest.mark.parametrize("peer", ["203.0.113.9", "9.255.255.255", "11.0.0.0", "2001:db8:ab::1", "::1"])
def test_the_header_of_an_untrusted_peer_is_not_read(peer: str) -> None:
    assert client("198.51.100.1", peer=ip_address(peer)) == peer


def test_entries_beyond_the_last_few_are_never_looked_at() -> None:
    proxies_between = ["10.0.0.2"] * (HOPS_MAX - 1)
    assert client(", ".join(["203.0.113.9", *proxies_between])) == "203.0.113.9"
    assert client(", ".join(["203.0.113.9", "10.7.7.7", *proxies_between])) == "10.7.7.7"
    assert client(", ".join(["10.8.8.8"] * 100_000 + ["203.0.113.9", "10.0.0.2"])) == "203.0.113.9"


addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    st.integers(0, 2**24 - 1).map(lambda host: IPv4Address((10 << 24) + host)),
)
lines = st.lists(st.binary() | addresses.map(lambda each: str(each).encode()))


@given(addresses, st.lists(lines.map(b",".join)))
def test_any_header_gives_an_address(peer: Address, values: list[bytes]) -> None:
    headers = [(b"x-forwarded-for", value) for value in values]
    found = client_address(peer, headers, TRUSTED)
    assert is_within(peer, TRUSTED) or found == peer


@given(lines.map(b",".join), st.lists(st.sampled_from(["10.0.0.2", "2001:db8:aa::2"]), max_size=HOPS_MAX - 1))
def test_nothing_left_of_an_untrusted_hop_is_ever_read(by_the_client: bytes, between: list[str]) -> None:
    named = ",".join(["203.0.113.9", *between]).encode()
    headers = [(b"x-forwarded-for", by_the_client), (b"x-forwarded-for", named)]
    assert client_address(PROXY, headers, TRUSTED) == IPv4Address("203.0.113.9")


@given(lines.map(b",".join))
def test_an_address_of_the_header_was_named_by_trusted_hops_alone(value: bytes) -> None:
    """The rule once more, the other way about: all that stands right of what was found is trusted."""
    found = client_address(PROXY, [(b"x-forwarded-for", value)], TRUSTED)
    right_of_it: list[Address] = [PROXY]
    for entry in value.split(b",")[::-1]:
        if right_of_it[-1] == found:
            break
        named = proxies.read_hop(entry)
        assert named is not None
        right_of_it.append(named)
    assert right_of_it[-1] == found
    assert all(is_within(each, TRUSTED) for each in right_of_it[:-1])


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
    ],
)
def test_a_network_or_an_address_is_read(text: str, network: str) -> None:
    assert str(proxies.read_network(text)) == network


@pytest.mark.parametrize(
    "text", ["", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "10", "*", "10.0.0.0-10.0.0.9"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|host bits"):
        proxies.read_network(text)


@pytest.mark.parametrize(
    ("texts", "is_everybody"),
    [
        (["0.0.0.0/0"], True),
        (["::/0"], True),
        (["::ffff:0:0/96"], True),
        (["10.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1"], True),
        (["::/1", "8000::/2", "c000::/2"], True),
        ([], False),
        (["0.0.0.0/1", "::/1"], False),
        (["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"], False),
    ],
)
def test_everybody_is_recognised_in_parts_too(texts: list[str], is_everybody: bool) -> None:
    assert proxies.hold_everybody(read_networks(tuple(texts))) is is_everybody
