"""What would change, in words that carry the right numbers and the right direction."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from gateway.core.units import Seconds
from gateway.scaling.settings import ScalingSettings, SloSettings
from gateway.simulate.scaling.comparison import changed_settings, outcome_in_words, setting_in_words
from gateway.simulate.scaling.measures import Measures
from gateway.simulate.scaling.traces import Trace
from gateway.simulate.scaling.world import Site, World, draw

BEFORE = Measures(1.0, 0.5, 1.5, 0, 0, 0, 0, 100.0, 20.0, 8, 50, 200.0)


def test_every_difference_is_said_with_its_direction() -> None:
    after = BEFORE._replace(violations=1.3, replica_hours=176.0, flips=60.0, peak=6)
    assert outcome_in_words(BEFORE, after) == [
        "B costs 12.0 % less (176.0 instead of 200.0 replica hours)",
        "B violates 0.30 points more (1.30 instead of 1.00 % of all requests)",
        "B flips 60 a day instead of 20",
        "B has at most 6 replicas at a time instead of 8",
    ]


def test_nothing_is_said_of_what_chance_does() -> None:
    assert outcome_in_words(BEFORE, BEFORE._replace(operations=102.0, violations=1.001)) == ["B does the same as A"]


def test_settings_are_compared_to_their_depth() -> None:
    one = ScalingSettings()
    other = replace(one, hold=Seconds(900), slo=SloSettings(wait=Seconds(0.1)), max=12)
    words = [setting_in_words(*each) for each in changed_settings(one, other)]
    assert words == [
        "max 10 → 12",
        "slo.wait 250ms → 100ms: the longest wait that is good is 150ms shorter",
        "hold 10m → 15m: scale-in holds 5m longer",
    ]


def test_no_more_replicas_boot_at_a_time_than_may() -> None:
    """Four starts of 10 s, two at a time: the last pair is ready after twice as long."""
    site = Site(cold_start=10.0, boots=2, most=5)
    world = World(site, draw(Trace("flat", 1.0, [1.0] * 60), site.work, Random(1)), Random(1))
    world.resize(5)
    ready = []
    for _ in range(40):
        world.step()
        ready.append(world.ready)
    assert ready[12] == 3
    assert ready[16] == 3
    assert ready[24] == 5
