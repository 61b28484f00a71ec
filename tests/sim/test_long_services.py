"""Decisions where a service takes seconds or a minute, and a start up to five: beside an oracle that is a policy."""

from __future__ import annotations

import pytest

from gateway.simulate.scaling.profiles import PROFILES
from gateway.simulate.scaling.story import Story
from gateway.simulate.scaling.work import Work
from gateway.simulate.scaling.world import Site


@pytest.mark.parametrize(
    ("profile", "service", "cold"),
    [
        ("steps", 2.0, 30.0),
        ("steps", 6.0, 30.0),
        ("steps", 20.0, 60.0),
        ("steps", 60.0, 60.0),
        ("ramp", 6.0, 60.0),
        ("ramp", 60.0, 300.0),
        ("surge", 20.0, 60.0),
    ],
)
def test_ours_serves_long_services_for_little_more_than_who_knows_all_ahead(
    profile: str, service: float, cold: float
) -> None:
    """At most 2 % wait for more than half a service, at no more than 1.5 times what the oracle pays."""
    site = Site(slots=8, work=Work("long", service, 2.5), cold_start=cold, wait=service / 2, max_wait=2 * service)
    trace = PROFILES[profile](4).cut(0, 5400).scaled((6 if service < 6 else 15) * site.rate)
    found = Story(trace.led_in(900), site, 4, None, since=900).tell("ours").measures
    assert found.violations <= 2.0
    assert found.cost <= 1.5
