"""What names become: endpoints, none of which takes away from another one."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.families import choose
from gateway.control.names import Names
from gateway.upstream.address import parse_address
from gateway.upstream.settings import Dns, EndpointSettings

HOSTS = ("a.example", "b.example", "c.example")


def resolved(known: dict[str, tuple[str, ...]], *endpoints: str | EndpointSettings) -> list[tuple[str, float, Any]]:
    """Url, weight and host of every endpoint, when the names are these addresses."""
    names = Names(endpoints, Dns(), turns=asyncio.Semaphore(1), rng=random.Random(1), log=None, on_change=list)  # type: ignore[arg-type]
    names._known = known
    return [(one.url, one.weight, one.host) for one in names._resolved()]


def test_two_names_of_one_address_are_two_endpoints() -> None:
    """Each keeps its weight, and its own name for TLS."""
    assert resolved(
        {"a.example": ("192.0.2.1",), "b.example": ("192.0.2.1", "192.0.2.2")},
        EndpointSettings("https://a.example", 3.0),
        EndpointSettings("https://b.example", 2.0),
    ) == [
        ("https://192.0.2.1:443", 3.0, "a.example"),
        ("https://192.0.2.1:443#b.example", 1.0, "b.example"),
        ("https://192.0.2.2:443", 1.0, "b.example"),
    ]


def test_one_name_written_twice_is_one_endpoint_with_both_weights() -> None:
    """The same address under the same host, whether written so or found so."""
    assert resolved(
        {"a.example": ("192.0.2.1",), "b.example": ("192.0.2.1",)},
        EndpointSettings("http://a.example:80", 1.0),
        EndpointSettings("http://b.example", 2.0, "a.example"),
        EndpointSettings("http://192.0.2.9", 4.0),
    ) == [("http://192.0.2.1:80", 3.0, "a.example"), ("http://192.0.2.9", 4.0, None)]


@given(
    st.lists(st.tuples(st.sampled_from(HOSTS), st.integers(1, 5), st.sampled_from(["http", "https"])), min_size=1),
    st.dictionaries(st.sampled_from(HOSTS), st.sets(st.sampled_from(["192.0.2.1", "192.0.2.2", "::1"]), min_size=1)),
)
def test_no_weight_is_lost_and_no_url_is_there_twice(
    written: list[tuple[str, int, str]], known: dict[str, set[str]]
) -> None:
    """Whatever names have which addresses in common; and every URL says where it is."""
    endpoints = [EndpointSettings(f"{scheme}://{host}", float(weight)) for host, weight, scheme in written]
    found = resolved({host: tuple(sorted(each)) for host, each in known.items()}, *endpoints)
    assert sum(weight for _, weight, _ in found) == pytest.approx(sum(weight for _, weight, _ in written))
    assert len({url for url, _, _ in found}) == len(found)
    for scheme in ("http", "https"):
        for host in HOSTS:
            due = sum(weight for name, weight, kind in written if (name, kind) == (host, scheme))
            has = [
                (url, weight)
                for url, weight, name in found
                if url.startswith(scheme + ":") and host in (name, parse_address(url).host)
            ]
            assert sum(weight for _, weight in has) == pytest.approx(due)


@pytest.mark.parametrize(
    ("accepted_4", "accepted_6", "current", "family"),
    [
        (1, 1, 0, 6),  # RFC 6724
        (1, 1, 4, 4),  # what serves stays
        (1, 0, 6, 4),
        (0, 1, 4, 6),
        (3, 1, 6, 4),  # one machine of three has both
        (0, 0, 0, 4),
        (0, 0, 6, 6),  # nobody answers: nothing is known
    ],
)
def test_which_family_is_taken(accepted_4: int, accepted_6: int, current: int, family: int) -> None:
    """The one of which more addresses accept; among equals what serves already, then IPv6."""
    assert choose(accepted_4, accepted_6, current) == family
