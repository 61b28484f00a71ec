"""Upstreams of which no endpoint serves: workers are told whether to hold requests, and a request starts the first one.

A pool speaks for itself (:mod:`gateway.pool.outlook`). Other upstreams are held only where replicas are counted by a
program that sees them and scaled by us: a cluster says that none is ready, and one has been asked for or will be.
What is said of those holds for some seconds, so that nobody waits for an order that a dead control process cannot
take back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.control.messages import Outlook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from msgspec import Struct

    from gateway.control.scaling.target import Target
    from gateway.core.clock import Clock
    from gateway.pool.pool import ProcessPool
    from gateway.telemetry.snapshot import Snapshot

_AGAIN: Final = 1.0
"""Seconds after which the same is said again: to workers that came meanwhile, and because it grows old."""
_BELIEVED: Final = 4.0
_FIRST: Final = "first_request"


class Vacancies:
    """Tells workers by ``send`` what to expect of upstreams without an endpoint that serves.

    ``is_ending`` from the moment on in which nothing is decided any more; a pool still serves those who wait then.
    """

    def __init__(
        self,
        pools: Mapping[str, ProcessPool],
        targets: Mapping[str, Target],
        *,
        clock: Clock,
        send: Callable[[Struct], None],
    ) -> None:
        self._pools = pools
        self._targets = targets
        self._clusters = {name: target for name, target in targets.items() if target.is_counted_elsewhere}
        self._clock = clock
        self._send = send
        self.is_ending = False
        self._said: dict[str, tuple[bool, float]] = {}  # whether one is coming, and when that was said
        self._arrived: dict[str, float] = {}

    def look(self, living: Mapping[int, Snapshot]) -> None:
        """See which upstreams have no endpoint now, and whether a request has come for one that wants none."""
        for name, pool in self._pools.items():
            outlook = pool.outlook
            if outlook is None:
                self._said.pop(name, None)
            else:
                self._say(name, is_coming=outlook.is_coming, wait=outlook.wait)
            if not pool.desired and self._has_request(name, living):
                self._start_first(name)
        for name, target in self._clusters.items():
            wait = target.vacancy
            if wait is not None:
                self._say(name, is_coming=True, wait=wait, seconds=_BELIEVED)
                if target.wants_none and self._has_request(name, living):
                    self._start_first(name)
            elif self._said.pop(name, None) is not None:
                self._send(Outlook(name, is_coming=False, wait=0.0))

    def _say(self, name: str, *, is_coming: bool, wait: float, seconds: float = 0.0) -> None:
        now = self._clock.now()
        before = self._said.get(name)
        if before is None or before[0] is not is_coming or now - before[1] >= _AGAIN:
            self._said[name] = is_coming, now
            self._send(Outlook(name, is_coming, wait, seconds))

    def _has_request(self, name: str, living: Mapping[int, Snapshot]) -> bool:
        """Whether a request has come since the last look, or waits."""
        loads = [one.loads[name] for one in living.values() if name in one.loads]
        arrived = sum(load.first_tries for load in loads)
        before, self._arrived[name] = self._arrived.get(name, arrived), arrived
        return arrived > before or any(load.queued for load in loads)

    def _start_first(self, name: str) -> None:
        """Ask for one: as a decision where decisions are carried out, else of the pool itself."""
        target = self._targets[name]
        if target.scaler.mode == "pinned":
            return
        is_decided = not self.is_ending and target.start_first(self._clock.now(), _FIRST)
        if not is_decided and name in self._pools:
            self._pools[name].resize(1)

    def __repr__(self) -> str:
        return f"<Vacancies {', '.join(self._said) or 'none'}>"
