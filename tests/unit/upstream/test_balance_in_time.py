"""Who is asked as time passes, by the whole of an upstream's machinery and the test's own clock."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.clock import ManualClock
from gateway.core.outcome import Outcome
from gateway.core.units import Seconds
from gateway.resilience.breaker import Breaker
from gateway.resilience.outlier import Outliers
from gateway.resilience.settings import BreakerSettings, OutlierSettings
from gateway.upstream.balance import make_balancer
from gateway.upstream.group import UpstreamGroup
from gateway.upstream.settings import Connections
from gateway.upstream.tls import ClientTls

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.02


class Service:
    """Equal endpoints that are asked one request at a time; ``latency`` says how long the nth answer of one takes."""

    def __init__(self, count: int, seed: int, latency: Callable[[int, int], float], balance: Any = "p2c") -> None:
        rng = Random(seed)
        self.clock = ManualClock()
        self.latency = latency
        self.asked = [0] * count
        self.group = UpstreamGroup(
            "app",
            line=None,  # type: ignore[arg-type]  # nothing is sent
            settings=Connections(),
            connect_timeout=1.0,
            balancer=make_balancer(balance, rng),
            make_breaker=lambda name: Breaker(name, BreakerSettings(mode="off"), clock=self.clock, rng=rng),
            judge=Outliers(OutlierSettings(ejected_for=Seconds(5))).judge,
            slow_start=0.0,
            panic_ratio=0.5,
            is_checked=False,
            rng=rng,
            tls=ClientTls(),
        )
        self.group.set_endpoints([f"http://10.0.0.{number}:80" for number in range(count)], self.clock.now())
        self._next_tick = 0.0

    def ask(self, pause: float) -> None:
        """One request, and ``pause`` seconds without any after its answer."""
        endpoint = self.group.pick((), "", self.clock.now())
        assert endpoint is not None
        number = self.group.endpoints.index(endpoint)
        endpoint.in_flight += 1
        took = self.latency(number, self.asked[number])
        self.asked[number] += 1
        self._pass(took)
        endpoint.in_flight -= 1
        endpoint.learn(Outcome.SUCCESS, took, self.clock.now(), took)
        self._pass(pause)

    def _pass(self, seconds: float) -> None:
        left = seconds
        while left > 0:
            step = min(left, max(self._next_tick - self.clock.now(), 0.0))
            self.clock.advance(step)
            left -= step
            if self.clock.now() >= self._next_tick:
                self.group.tick(self.clock.now())
                self._next_tick = self.clock.now() + TICK


def _jittered(usual: float, seed: int) -> Callable[[int, int], float]:
    rng = Random(seed)
    return lambda _number, _n: usual * rng.lognormvariate(0, 0.3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pause", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("usual", [0.0005, 0.005, 0.05])
@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("late", [0, 1, 10])
def test_one_slow_answer_costs_no_endpoint_its_part(
    count: int, late: int, usual: float, pause: float, seed: int
) -> None:
    """When traffic is low nothing but latency tells endpoints apart; one answer of 0.3 s or sixty times the usual does not."""
    usually = _jittered(usual, seed)

    def latency(number: int, n: int) -> float:
        return max(0.3, 60 * usual) if (number, n) == (0, late) else usually(number, n)

    service = Service(count, seed, latency)
    for _ in range(30 * count):
        service.ask(pause)
    assert min(service.asked) >= 10


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pause", [0.0, 0.05])
@pytest.mark.parametrize(("slower", "most"), [(5, 20), (20, 12)])
def test_a_slow_endpoint_is_left_alone_and_not_forgotten(slower: int, most: int, pause: float, seed: int) -> None:
    """Of 240 requests it gets a few, so that it is seen when it is well again; then it gets its part."""
    usually = _jittered(0.01, seed)
    is_slow = True
    service = Service(3, seed, lambda number, n: usually(number, n) * (slower if is_slow and number == 0 else 1))
    for _ in range(240):
        service.ask(pause)
    assert 1 <= service.asked[0] <= most
    is_slow = False
    for _ in range(100):
        service.ask(0.5)
    before = service.asked[0]
    for _ in range(90):
        service.ask(pause)
    assert service.asked[0] - before >= 12
