"""Where each upstream is served now, and which of its endpoints are well: asked once, told to every worker."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.control.health import Checks
from gateway.control.messages import Checked, Endpoints
from gateway.control.names import Names
from gateway.control.traffic import EndpointTraffic
from gateway.core.clock import SystemClock
from gateway.telemetry.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from random import Random

    from msgspec import Struct

    from gateway.checks.question import Finding
    from gateway.config.settings import Settings
    from gateway.telemetry.logs import Logger
    from gateway.telemetry.snapshot import ResilienceSnapshot, Snapshot
    from gateway.upstream.settings import EndpointSettings

_LOOKUPS: Final = 64
"""At once: each has a thread and watches resolv.conf by inotify, of which a user has 128."""
Served = tuple["str | EndpointSettings", ...]
# A breaker in one of these lets too few pass to find out much by itself.
_TROUBLED = ("open", "half_open")


# The only endpoint, and the upstream itself.
_ALONE: Final = 2


class _Trouble(NamedTuple):
    """What one worker said of one upstream, and which endpoints have an open breaker there."""

    said: ResilienceSnapshot | None
    urls: frozenset[str]


_NO_TROUBLE: Final = _Trouble(None, frozenset())


def _is_route_troubled(said: ResilienceSnapshot) -> bool:
    """Whether a route's breaker, or a page's, lets too few pass: where there is one endpoint its check may say more."""
    return any(
        states.get(word) for route in said.routes.values() for states in route.states.values() for word in _TROUBLED
    )


class EndpointTable:
    """The endpoints of all upstreams; ``send`` gives an order to every worker.

    ``looked_at`` counts what was ever looked at for trouble, in upstreams of a worker.
    """

    def __init__(self, settings: Settings, *, rng: Random, log: Logger, send: Callable[[Struct], None]) -> None:
        self._settings = settings
        self._rng = rng
        self._log = log
        self._names: dict[str, Names] = {}
        self._send = send
        self._changed: dict[str, tuple[EndpointSettings, ...]] = {}
        self._checks: dict[str, Checks] = {}
        self._orders: dict[str, int] = {}
        self._heard: dict[int, Snapshot | None] = {}
        self._trouble: dict[int, dict[str, _Trouble]] = {}
        self.looked_at = 0
        # Only a pool asks, and there may be many upstreams.
        self._traffic: dict[str, EndpointTraffic] = {
            name: EndpointTraffic() for name, upstream in settings.upstreams.items() if upstream.pool is not None
        }

    @property
    def changed(self) -> dict[str, tuple[EndpointSettings, ...]]:
        """What a new worker must know beyond the settings: endpoints of pools and of names."""
        return dict(self._changed)

    @property
    def orders(self) -> dict[str, int]:
        """The numbers of the orders that told what is in ``changed``."""
        return dict(self._orders)

    @property
    def down(self) -> dict[str, tuple[str, ...]]:
        """The endpoints that active checks found down, by upstream."""
        return {name: checks.down for name, checks in self._checks.items() if checks.down}

    def lost(self, upstream: str) -> tuple[str, ...]:
        """The names of this upstream that could never be resolved."""
        return tuple(sorted(self._names[upstream].lost)) if upstream in self._names else ()

    def served(self, upstream: str) -> Served:
        """Where this upstream is served now."""
        found = self._changed.get(upstream)
        return self._settings.upstreams[upstream].endpoints if found is None else found

    def start(self) -> None:
        """Begin to look up names and to check."""
        clock = SystemClock()
        guard = Guard(self._log, clock)
        turns = asyncio.Semaphore(_LOOKUPS)
        for name, upstream in self._settings.upstreams.items():
            checks = self._checks[name] = Checks(
                upstream.health, rng=self._rng, clock=clock, guard=guard, report=self._reporter(name)
            )
            checks.set_endpoints(self.served(name))
            names = Names(
                upstream.endpoints,
                upstream.dns,
                turns=turns,
                rng=self._rng,
                log=self._log,
                on_change=partial(self.change, name),
            )
            self._names[name] = names
            names.start()

    async def stop(self) -> None:
        """Look nothing up and check nothing any more."""
        for names in self._names.values():
            await names.stop()
        for checks in self._checks.values():
            await checks.stop()
        self._checks.clear()  # a pool may still change after this

    def traffic(self, upstream: str) -> EndpointTraffic:
        """What goes to the endpoints of an upstream with a pool, those that left included."""
        return self._traffic[upstream]

    def change(self, upstream: str, endpoints: tuple[EndpointSettings, ...], warm: tuple[str, ...] = ()) -> None:
        """From now on the upstream has these endpoints; ``warm`` ones need no slow start."""
        self._say_change(upstream, endpoints)
        order = self._orders[upstream] = self._orders.get(upstream, 0) + 1
        self._changed[upstream] = endpoints
        if upstream in self._traffic:
            self._traffic[upstream].ordered(order, (endpoint.url for endpoint in endpoints))
        self._send(Endpoints(upstream, endpoints, order, warm))
        if upstream in self._checks:
            self._checks[upstream].set_endpoints(endpoints)

    def _say_change(self, upstream: str, endpoints: tuple[EndpointSettings, ...]) -> None:
        before = [one if isinstance(one, str) else one.url for one in self.served(upstream)]
        after = [one.url for one in endpoints]
        came, left = set(after) - set(before), set(before) - set(after)
        if came or left:
            self._log.info(
                "endpoints changed",
                upstream=upstream,
                came=[url for url in after if url in came],
                left=[url for url in before if url in left],
                count=len(after),
            )

    def look(
        self, workers: Mapping[int, Snapshot | None], changed: Mapping[int, Collection[str]] | None = None
    ) -> None:
        """See in what each worker said last which endpoints are idle, and which need closer checks because of trouble.

        None stands for a worker that has said nothing yet. ``changed`` names the upstreams of which a worker has said
        something since the last look; without it all are compared.
        """
        is_crew_new = workers.keys() != self._heard.keys() or any(
            (one is None) is not (self._heard[number] is None) for number, one in workers.items()
        )
        self._heard = dict(workers)
        news = set(self._traffic) if is_crew_new or changed is None else set[str]().union(*changed.values())
        for name in self._traffic.keys() & news:
            self._traffic[name].heard(
                {number: None if one is None else one.resilience.get(name) for number, one in workers.items()}
            )
        stale: set[str] = set()
        for number in [one for one in self._trouble if workers.get(one) is None]:
            stale.update(name for name, found in self._trouble.pop(number).items() if found.urls)
        for number, snapshot in workers.items():
            if snapshot is not None:
                names = snapshot.resilience if changed is None else changed.get(number, ())
                stale.update(self._look_at(number, snapshot, names))
        for name in stale:
            if name in self._checks:
                found = (one[name].urls for one in self._trouble.values() if name in one)
                self._checks[name].set_troubled(frozenset[str]().union(*found))

    def _look_at(self, number: int, snapshot: Snapshot, names: Iterable[str]) -> Iterator[str]:
        """Look for open breakers in what one worker said of these upstreams; those where it is not as it was."""
        known = self._trouble.setdefault(number, {})
        for name in names:
            said = snapshot.resilience.get(name)
            before = known.get(name, _NO_TROUBLE)
            if said is None or said is before.said:
                continue
            self.looked_at += 1
            urls = frozenset(
                url
                for url, endpoint in said.endpoints.items()
                if url and not endpoint.states.get("closed") and any(endpoint.states.get(word) for word in _TROUBLED)
            )
            if len(said.endpoints) == _ALONE and _is_route_troubled(said):
                urls = frozenset(url for url in said.endpoints if url)
            known[name] = _Trouble(said, urls)
            if urls != before.urls:
                yield name

    def _reporter(self, upstream: str) -> Callable[[str, bool, Finding], None]:
        down: set[str] = set()

        def report(url: str, is_up: bool, found: Finding) -> None:  # noqa: FBT001 - the judgement's word
            if is_up is (url in down):  # else it is what it was
                (down.discard if is_up else down.add)(url)
                write = self._log.info if is_up else self._log.warning
                write(
                    "endpoint up" if is_up else "endpoint down",
                    upstream=upstream,
                    endpoint=url,
                    reason="check",
                    answered=found.answered,
                    **({"hint": found.hint} if found.hint else {}),
                )
            self._send(Checked(upstream, url, is_up, found.has_passed))

        return report
