"""Where each upstream is served now, and which of its endpoints are well: asked once, told to every worker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gateway.control.health import Checks
from gateway.control.messages import Checked, Endpoints
from gateway.control.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from msgspec import Struct

    from gateway.config.settings import Settings
    from gateway.telemetry.counters import Snapshot
    from gateway.telemetry.logs import Logger
    from gateway.upstream.settings import EndpointSettings

Served = tuple["str | EndpointSettings", ...]
# A breaker in one of these lets too few pass to find out much by itself.
_TROUBLED = ("open", "half_open")


class EndpointTable:
    """The endpoints of all upstreams; ``send`` gives an order to every worker."""

    def __init__(self, settings: Settings, *, rng: Random, log: Logger, send: Callable[[Struct], None]) -> None:
        self._settings = settings
        self._rng = rng
        self._log = log
        self._names: list[Names] = []
        self._send = send
        self._changed: dict[str, tuple[EndpointSettings, ...]] = {}
        self._checks: dict[str, Checks] = {}

    @property
    def changed(self) -> dict[str, tuple[EndpointSettings, ...]]:
        """What a new worker must know beyond the settings: endpoints of pools and of names."""
        return dict(self._changed)

    @property
    def down(self) -> dict[str, tuple[str, ...]]:
        """The endpoints that active checks found down, by upstream."""
        return {name: checks.down for name, checks in self._checks.items() if checks.down}

    def served(self, upstream: str) -> Served:
        """Where this upstream is served now."""
        found = self._changed.get(upstream)
        return self._settings.upstreams[upstream].endpoints if found is None else found

    def start(self) -> None:
        """Begin to look up names and to check."""
        for name, upstream in self._settings.upstreams.items():
            checks = self._checks[name] = Checks(upstream.health, rng=self._rng, report=self._reporter(name))
            checks.set_endpoints(self.served(name))
            names = Names(
                upstream.endpoints, upstream.dns, rng=self._rng, log=self._log, on_change=partial(self.change, name)
            )
            self._names.append(names)
            names.start()

    async def stop(self) -> None:
        """Look nothing up and check nothing any more."""
        for names in self._names:
            await names.stop()
        for checks in self._checks.values():
            await checks.stop()

    def change(self, upstream: str, endpoints: tuple[EndpointSettings, ...]) -> None:
        """From now on the upstream has these endpoints."""
        self._changed[upstream] = endpoints
        self._send(Endpoints(upstream, endpoints))
        if upstream in self._checks:
            self._checks[upstream].set_endpoints(endpoints)

    def look(self, workers: Iterable[Snapshot]) -> None:
        """See in what the workers last said which endpoints are in trouble, and watch those more closely."""
        troubled: dict[str, set[str]] = {name: set() for name in self._checks}
        for snapshot in workers:
            for name, upstream in snapshot.resilience.items():
                for url, endpoint in upstream.endpoints.items():
                    if url and any(endpoint.states.get(word) for word in _TROUBLED):
                        troubled.setdefault(name, set()).add(url)
        for name, checks in self._checks.items():
            checks.set_troubled(troubled[name])

    def _reporter(self, upstream: str) -> Callable[[str, bool, bool], None]:
        def report(url: str, is_up: bool, has_passed: bool) -> None:  # noqa: FBT001 - two words of one verdict
            self._send(Checked(upstream, url, is_up, has_passed))

        return report
