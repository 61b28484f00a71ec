"""Who counts as one client, and who is believed: addresses in every spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.forwarded import _ELEMENT, Trust, extended_identity, fresh_identity, peer_address
from gateway.http.settings import ClientIp

V4 = st.ip_addresses(v=4).map(str)
ENTRIES = [b"::ffff:203.0.113.7", b"[::ffff:203.0.113.7]:443", b"::FFFF:CB00:7107", b"0:0:0:0:0:ffff:203.0.113.7"]


def trust(*proxies: str) -> Trust:
    return Trust(ClientIp(trusted_proxies=proxies))


@given(V4)
def test_ipv4_inside_ipv6_is_the_ipv4_address_wherever_it_is_read(address: str) -> None:
    """As a peer, as an entry of X-Forwarded-For, as a key."""
    for spelling in (f"::ffff:{address}", f"0000:0000::ffff:{address}"):
        assert peer_address((spelling, 4711, 0, 0)) == address
        assert trust("10.0.0.0/8").client("10.0.0.1", [(b"X-Forwarded-For", spelling.encode())]) in {
            address,
            "10.0.0.1",
        }
        assert trust().key(spelling) == address


@pytest.mark.parametrize("entry", ENTRIES, ids=repr)
def test_clients_behind_a_dual_stack_proxy_are_not_one_client(entry: bytes) -> None:
    """Each has the key of its IPv4 address, however the proxy writes it."""
    ours = trust("10.0.0.0/8")
    found = ours.client("10.0.0.1", [(b"X-Forwarded-For", b"198.51.100.1, " + entry)])
    assert (found, ours.key(found)) == ("203.0.113.7", "203.0.113.7")


@pytest.mark.parametrize("network", ["10.0.0.0/8", "::ffff:10.0.0.0/104", "::ffff:a00:0/104"])
def test_a_network_may_be_written_either_way(network: str) -> None:
    """Trusted proxies match by address, not by spelling."""
    ours = trust(network)
    for peer in ("10.1.2.3", "::ffff:10.1.2.3"):
        assert ours.is_trusted(peer)
        assert ours.client(peer, [(b"X-Forwarded-For", b"2001:db8::1, ::ffff:10.9.9.9")]) == "2001:db8::1"
    for peer in ("11.0.0.1", "::ffff:11.0.0.1", "::10.1.2.3", "unix", "unknown", ""):
        assert not ours.is_trusted(peer)


def test_real_ipv6_addresses_stay_what_they_are() -> None:
    """Prefixes are keys; the deprecated ``::a.b.c.d`` and an address that only looks alike are no IPv4."""
    ours = trust()
    assert ours.key("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"
    assert ours.key("::203.0.113.7") == "::/64"
    assert peer_address(("::ffff:0:203.0.113.7", 1, 0, 0)) == "::ffff:0:cb00:7107"
    assert peer_address(("fe80::1%eth0", 1, 0, 2)) == "fe80::1"


def test_a_unix_peer_is_trusted_by_its_own_word_and_no_other() -> None:
    """No network contains it, and a peer that left before it was asked for its name is not one."""
    identity = [(b"X-Forwarded-For", b"203.0.113.7")]
    assert peer_address("") == peer_address(b"") == "unix"
    assert peer_address(None) == peer_address(()) == "unknown"
    assert trust("unix").client("unix", identity) == "203.0.113.7"
    assert trust("0.0.0.0/0", "::/0").client("unix", identity) == "unix"
    assert trust("unix", "10.0.0.0/8").client("unix", [(b"X-Forwarded-For", b"203.0.113.7, 10.0.0.1")]) == "203.0.113.7"
    for stranger in ("unknown", "127.0.0.1"):
        assert not trust("unix").is_trusted(stranger)


def test_what_the_upstream_is_told_of_a_unix_peer_is_no_address() -> None:
    """It adds no address to X-Forwarded-For, and ``unknown`` to Forwarded (RFC 7239 §6.2)."""
    fresh = fresh_identity("unix", "http", "a.test")
    assert b"Forwarded: for=unknown;proto=http;host=a.test\r\n" in fresh
    assert b"X-Forwarded-For" not in fresh
    assert b"unix" not in fresh
    extended = extended_identity("unix", "http", "a.test", [(b"X-Forwarded-For", b"203.0.113.7")])
    assert b"X-Forwarded-For: 203.0.113.7\r\n" in extended


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("Forwarded", b"for=203.0.113.7", "203.0.113.7"),
        ("Forwarded", b"for=6.6.6.6, For=203.0.113.7;proto=https;by=10.0.0.9", "203.0.113.7"),
        ("Forwarded", b'for=203.0.113.7, proto=http;for="10.9.9.9:4711"', "203.0.113.7"),
        ("Forwarded", b'for="[2001:db8::1]:4711"', "2001:db8::1"),
        ("Forwarded", b'host="a,for=6.6.6.6;for=6.6.6.7";for=203.0.113.7', "203.0.113.7"),
        ("Forwarded", b'for=6.6.6.6;host="a\\", for=203.0.113.7', "10.0.0.1"),
        ("Forwarded", b'for=6.6.6.6;x=", for=203.0.113.7', "10.0.0.1"),
        ("Forwarded", b'for=6.6.6.6;x=", for="[2001:db8::1]"', "10.0.0.1"),
        ("Forwarded", b'for=6.6.6.6;x=", for="[2001:db8::1]";host="a:80"', "10.0.0.1"),
        ("Forwarded", b"for=6.6.6.6, for=unknown", "10.0.0.1"),
        ("Forwarded", b"for=6.6.6.6, for=_hidden", "10.0.0.1"),
        ("Forwarded", b"for=6.6.6.6, proto=http", "10.0.0.1"),
        ("Forwarded", b"for=6.6.6.6;for=6.6.6.7", "10.0.0.1"),
        ("X-Real-IP", b"203.0.113.7", "203.0.113.7"),
        ("X-Real-IP", b" [2001:db8::1]:443 ", "2001:db8::1"),
        ("X-Real-IP", b"6.6.6.6, 203.0.113.7", "10.0.0.1"),
        ("X-Real-IP", b"", "10.0.0.1"),
        ("CF-Connecting-IP", b"203.0.113.7", "203.0.113.7"),
    ],
)
def test_a_key_chooses_the_field_that_names_the_client(header: str, value: bytes, expected: str) -> None:
    """Lists are read from the right up to a proxy that is not ours; of a single address there may be only one."""
    ours = Trust(ClientIp(trusted_proxies=("10.0.0.0/8",), header=header))
    others = [(b"X-Forwarded-For", b"198.51.100.1")]
    assert ours.client("10.0.0.1", [(header.encode().lower(), value), *others]) == expected
    assert ours.client("192.0.2.1", [(header.encode(), value)]) == "192.0.2.1"
    assert ours.client("10.0.0.1", others) == "10.0.0.1"
    twice = [(header.encode(), value), (header.encode(), b"6.6.6.6")]
    if header != "Forwarded":
        assert ours.client("10.0.0.1", twice) == "10.0.0.1"


@given(st.lists(st.sampled_from([b'"', b"\\", b",", b";", b"for=", b"for=203.0.113.7", b" "]), max_size=40))
def test_no_forwarded_field_is_read_as_more_than_it_has(parts: list[bytes]) -> None:
    """Whatever a client writes into the field, its proxy's own element at the right end is what counts."""
    ours = Trust(ClientIp(trusted_proxies=("10.0.0.0/8",), header="forwarded"))
    junk = b"".join(parts)
    assert ours.client("10.0.0.1", [(b"Forwarded", junk)]) in {"10.0.0.1", "203.0.113.7"}
    if junk.count(b'"') == 0:
        assert ours.client("10.0.0.1", [(b"Forwarded", junk + b", for=198.51.100.9")]) == "198.51.100.9"


def test_a_line_of_a_client_does_not_reach_into_that_of_its_proxy() -> None:
    """A quote that a client leaves open takes nothing of the line that the proxy has added."""
    ours = Trust(ClientIp(trusted_proxies=("10.0.0.0/8",), header="forwarded"))
    lines = [(b"Forwarded", b'for=6.6.6.6;x="'), (b"Forwarded", b"for=203.0.113.7")]
    assert ours.client("10.0.0.1", lines) == "203.0.113.7"


def test_a_long_forwarded_field_is_read_once() -> None:
    """Quotes that never end cost no more than others: no text is looked at again and again."""
    found = _ELEMENT.findall(b'"\\' * 16_000)
    assert found == [b'"\\' * 16_000]
