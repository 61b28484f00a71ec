"""A limit for each endpoint; the upstream's is their sum over those in rotation.

For endpoints that differ: a small machine beside a large one has a limit of its own, and whoever chooses passes over an
endpoint that is full. The queue before them all stays one. Each limit learns from the attempts at its own endpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.limit import Stage
from gateway.admission.sample import Sample
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gateway.admission.limits.limit import Limit
    from gateway.admission.sample import Change


class ByEndpoint:
    """``value`` is the sum of the limits in use; ``make`` makes the limit of an endpoint that is new."""

    __slots__ = ("_limits", "_make", "_used", "value")

    watch: ClassVar[None] = None
    latency: ClassVar[float] = 0.0

    def __init__(self, make: Callable[[], Limit]) -> None:
        self._make = make
        self._limits: dict[str, Limit] = {}
        self._used: tuple[str, ...] = ()
        self.value = 0

    def of(self, endpoint: str) -> Limit:
        """The endpoint's own limit."""
        found = self._limits.get(endpoint)
        if found is None:
            found = self._limits[endpoint] = self._make()
        return found

    @property
    def stage(self) -> Stage:
        """That of the endpoint of which least is known."""
        return min((self.of(endpoint).stage for endpoint in self._used), default=Stage.PROVEN)

    def remember(self) -> dict[str, Any]:
        """What each endpoint's limit remembers, by endpoint."""
        return {name: limit.remember() for name, limit in self._limits.items() if isinstance(limit, Adaptive)}

    def recall(self, state: Mapping[str, Any], age: float) -> None:
        """Let the limits of endpoints begin from there; those not in rotation are forgotten with the next use."""
        for endpoint, found in state.items():
            limit = self.of(endpoint)
            if isinstance(limit, Adaptive) and isinstance(found, dict):
                limit.recall(found, age)
        self._add_up()

    def use(self, endpoints: Collection[str], known: Collection[str]) -> None:
        """These are in rotation now; of others only those that are ``known`` keep what was learned."""
        for gone in [endpoint for endpoint in self._limits if endpoint not in known]:
            del self._limits[gone]
        self._used = tuple(endpoints)
        self._add_up()

    def begin(self, endpoint: str, now: float, n: int, kind: str) -> None:
        """An attempt at this endpoint begins, as the ``n``-th in flight there."""
        watch = self.of(endpoint).watch
        if watch is not None:
            watch.begin(now, n, kind)

    def begin_again(self, endpoint: str, before: float, now: float, n: int, kind: str) -> None:
        """The endpoint works for an attempt from now on only: until now its request was still under way."""
        watch = self.of(endpoint).watch
        if watch is not None:
            watch.forget(Sample(before, now, n, kind, Outcome.NEUTRAL))
            watch.begin(now, n, kind)

    def teach(self, endpoint: str, sample: Sample) -> Change | None:
        """An attempt at this endpoint has ended; the change when that moved its limit."""
        change = self.of(endpoint).update(sample)
        if change is not None:
            self._add_up()
        return change

    def update(self, sample: Sample) -> Change | None:
        """Nothing: a request is not one endpoint's doing."""
        del sample
        return None

    def held_back(self, now: float) -> None:
        """All of them together have made somebody wait."""
        for endpoint in self._used:
            self.of(endpoint).held_back(now)
        self._add_up()

    def _add_up(self) -> None:
        self.value = sum(self.of(endpoint).value for endpoint in self._used)

    def __repr__(self) -> str:
        parts = " ".join(f"{endpoint}={self.of(endpoint).value}" for endpoint in self._used)
        return f"<ByEndpoint {self.value}: {parts}>"
