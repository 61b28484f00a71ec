"""What a worker does about its own strain before it breaks; :mod:`gateway.admission.pressure` says what and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.admission.pressure import Protection, protect
from gateway.proxy.strain import StrainGauge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.gate import Gate
    from gateway.http.door import Door
    from gateway.proxy.parts import Parts

_LOOK: Final = 0.25
# Idle connections closed at one look, the oldest first.
_TIDIED: Final = 200


class SelfProtection:
    """Closes what is idle, stops keep-alive, narrows queues, lets only the first band wait; then all as before.

    ``in_force`` is what is done now, ``strain`` how full the fullest resource is, 1.0 = full.
    """

    __slots__ = ("_door", "_gates", "_gauge", "_log", "_look_at", "_parts", "in_force", "strain")

    def __init__(
        self,
        workers: int,
        *,
        door: Door,
        gates: Mapping[str, Gate],
        parts: Parts,
        log: Any,  # noqa: ANN401 - structlog's loggers have no common type
    ) -> None:
        self.in_force = Protection()
        self.strain = 0.0
        self._gauge = StrainGauge(workers)
        self._door = door
        self._gates = gates
        self._parts = parts
        self._log = log
        self._look_at = 0.0

    def note_lag(self, seconds: float) -> None:
        """The event loop woke up this late."""
        self._gauge.note_lag(seconds)

    def is_due(self, now: float) -> bool:
        """Whether it is time to look; a few times a second is enough."""
        return now >= self._look_at

    def look(self, connections: int, now: float) -> None:
        """Judge the strain, with this many connections open on both sides, and do what it asks for."""
        self._look_at = now + _LOOK
        before = self.in_force
        strain = self._gauge.read(connections)
        self.strain = max(strain.lag, strain.memory, strain.files)
        found = self.in_force = protect(strain, before)
        if found.closes_idle:
            self._door.close_idle(_TIDIED)
        if found == before:
            return
        self._log.warning(
            "self-protection",
            grade=found.grade,
            lag=round(strain.lag, 3),
            memory=round(strain.memory, 3),
            files=round(strain.files, 3),
        )
        self._door.keeps_alive = found.keeps_alive
        for gate in self._gates.values():
            gate.last_band = found.last_band
        self._parts.use_of_queues(found.queue_part)

    def close(self) -> None:
        """Look no more."""
        self._gauge.close()
