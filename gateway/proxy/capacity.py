"""What is said of how much the upstreams can take: a lid for a while, what is coming, what has come or gone.

Whoever scales an upstream knows of its replicas before the limit can have learned of them. An order is believed for
a time and then forgotten, so that whoever gave it may die without leaving anything behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.admission.hope import Hope
from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.by_endpoint import ByEndpoint
from gateway.admission.limits.capped import Capped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.gate import Gate
    from gateway.admission.limits.limit import Limit
    from gateway.core.clock import Clock

TOLD: Final = frozenset({"replicas"})
"""Reasons for moves of a limit that follow such an order, and show nothing that was learned."""


class Capacity:
    """Carries these orders out at the gates, by upstream; one that there is no gate for is nobody's."""

    __slots__ = ("_caps", "_clock", "_gates", "_hopes")

    def __init__(self, gates: Mapping[str, Gate], clock: Clock) -> None:
        self._gates = gates
        self._clock = clock
        self._caps: dict[str, float] = {}  # until when
        self._hopes: dict[str, float] = {}  # until when

    def set_cap(self, upstream: str, limit: int | None, seconds: float) -> None:
        """Let no more than ``limit`` be in flight for so many seconds; None ends that."""
        gate = self._gates.get(upstream)
        if gate is None:
            return
        now = self._clock.now()
        inner = beneath(gate.limit)
        if limit is None:
            self._caps.pop(upstream, None)
            gate.limit = inner
            gate.admit_waiting(now)
        else:
            self._caps[upstream] = now + seconds
            gate.limit = Capped(inner, limit)

    def expect(self, upstream: str, wait: float, growth: float, seconds: float) -> None:
        """Capacity comes to this upstream in ``wait`` seconds; believed for so many seconds, 0 ends that."""
        gate = self._gates.get(upstream)
        if gate is None:
            return
        now = self._clock.now()
        if seconds <= 0:
            self._hopes.pop(upstream, None)
            gate.expect(None, now)
        else:
            self._hopes[upstream] = now + seconds
            gate.expect(Hope(now + wait, max(growth, 1.0)), now)

    def rescale(self, upstream: str, ratio: float) -> None:
        """The upstream has become ``ratio`` times what it was; limits that learn by themselves follow at once."""
        gate = self._gates.get(upstream)
        limit = None if gate is None else beneath(gate.limit)
        if gate is None or not isinstance(limit, Adaptive) or ratio <= 0:
            return
        now = self._clock.now()
        change = limit.rescale(ratio, now)
        if change is not None:
            gate.note(change)
            gate.admit_waiting(now)

    def recall(self, upstream: str, state: Mapping[str, Any], age: float) -> None:
        """Let a limit begin from what an earlier one remembered ``age`` seconds ago."""
        gate = self._gates.get(upstream)
        limit = None if gate is None else beneath(gate.limit)
        if isinstance(limit, Adaptive | ByEndpoint):
            limit.recall(state, age)

    def tick(self, now: float) -> None:
        """Let time pass: what was to hold until now holds no more."""
        for name in [name for name, end in self._caps.items() if now >= end] if self._caps else ():
            self.set_cap(name, None, 0.0)
        for name in [name for name, end in self._hopes.items() if now >= end] if self._hopes else ():
            self.expect(name, 0.0, 1.0, 0.0)


def beneath(limit: Limit) -> Limit:
    """The limit itself, without a lid."""
    return limit.inner if isinstance(limit, Capped) else limit


def remember(gate: Gate) -> dict[str, Any]:
    """What a gate's limit has learned, for a later one; empty when it learns nothing that could be kept."""
    limit = beneath(gate.limit)
    return limit.remember() if isinstance(limit, Adaptive | ByEndpoint) else {}
