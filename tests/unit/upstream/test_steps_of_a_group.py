"""What a group tells of whom it asks: the end of an ejection, the begin and the end of panic."""

from __future__ import annotations

from random import Random

from gateway.core.clock import ManualClock
from gateway.resilience.breaker import Breaker
from gateway.resilience.outlier import Outliers
from gateway.resilience.settings import BreakerSettings, OutlierSettings
from gateway.upstream.balance import make_balancer
from gateway.upstream.group import UpstreamGroup
from gateway.upstream.settings import Connections
from gateway.upstream.tls import ClientTls

URLS = [f"http://10.0.0.{number}:80" for number in range(4)]


def _group(told: list[tuple[str, object]]) -> UpstreamGroup:
    rng, clock = Random(1), ManualClock()
    group = UpstreamGroup(
        "app",
        line=None,  # type: ignore[arg-type]  # nothing is sent
        settings=Connections(),
        connect_timeout=1.0,
        balancer=make_balancer("p2c", rng),
        make_breaker=lambda name: Breaker(name, BreakerSettings(mode="off"), clock=clock, rng=rng),
        judge=Outliers(OutlierSettings()).judge,
        slow_start=0.0,
        panic_ratio=0.5,
        is_checked=True,
        rng=rng,
        tls=ClientTls(),
    )
    group.set_endpoints(URLS, 0.0)
    group.on_return = lambda _group, url: told.append(("return", url))
    group.on_panic = lambda group, count: told.append(("panic" if group.is_panicking else "over", count))
    return group


def test_the_end_of_an_ejection_is_told_once() -> None:
    """When the endpoint is asked again; not when it has left meanwhile."""
    told: list[tuple[str, object]] = []
    group = _group(told)
    for one in group.endpoints[:2]:
        one.standing.eject(5.0, is_shadow=False)
    group.refresh(1.0)
    group.set_endpoints(URLS[1:], 2.0)
    assert told == []
    for now in (5.0, 5.5, 6.0):
        group.refresh(now)
    assert told == [("return", URLS[1])]


def test_panic_is_told_when_it_begins_and_ends() -> None:
    """With how many endpoints would be in rotation without it."""
    told: list[tuple[str, object]] = []
    group = _group(told)
    for number, url in enumerate(URLS[:3]):
        group.on_checked(url, float(number), is_up=False, has_passed=False)
    for now in (3.0, 4.0):
        group.refresh(now)
    assert told == [("panic", 1)]
    group.on_checked(URLS[0], 5.0, is_up=True, has_passed=True)
    assert told == [("panic", 1), ("over", 2)]
