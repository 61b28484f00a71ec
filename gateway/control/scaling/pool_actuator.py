"""The worker pool as an actuator: it is in this process, so what it says is never old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.actuators.actuator import View

if TYPE_CHECKING:
    from gateway.core.clock import Clock
    from gateway.pool.pool import ProcessPool
    from gateway.scaling.decision import Decision


class PoolActuator:
    """Resizes one pool; the pool starts and ends processes in its own time."""

    def __init__(self, pool: ProcessPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    @property
    def view(self) -> View:
        """The pool's replicas now."""
        pool = self._pool
        replicas = pool.replicas
        return View(
            at=self._clock.now(),
            replicas=replicas,
            cold_starts=tuple(pool.cold_starts),
            room=pool.room,
            problem=f"crash loop: {replicas.quarantined} processes rest before they are tried again"
            if replicas.quarantined
            else "",
        )

    def start(self) -> None:
        """Nothing to watch: the pool tells."""

    async def apply(self, decision: Decision) -> None:
        """Ask the pool for as many."""
        self._pool.resize(decision.after)

    async def stop(self) -> None:
        """Nothing to end: the pool belongs to the control process."""

    def __repr__(self) -> str:
        return f"<PoolActuator {self._pool!r}>"
