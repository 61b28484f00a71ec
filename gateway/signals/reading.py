"""What is counted for one target: sums since the process began, and a few gauges of the present."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

DELAY_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the buckets of the queue delay, in seconds; one more bucket holds what is above."""


class Replicas(Struct, frozen=True, gc=False):
    """How many replicas are in each state, and how many were last asked for."""

    ready: int = 0
    warming: int = 0
    draining: int = 0
    standby: int = 0
    quarantined: int = 0
    desired: int = 0


class Reading(Struct, frozen=True):
    """One look at a target's counters and time integrals.

    All counts are sums since some beginning and never fall, except when the process that counts began anew: then
    every sum starts at 0 again. A time integral adds value × seconds, so a difference divided by the time is the
    true mean, however rarely one looks.
    """

    at: float
    """When it was taken, on the clock of ``now``, in seconds."""
    first_tries: float = 0.0
    retries: float = 0.0
    """Arrivals that were tried before, by our retry or by the caller's word."""
    dispatched: float = 0.0
    good: float = 0.0
    """Answered well and within the objective's wait."""
    bad: float = 0.0
    """Shed, or kept waiting longer than the objective allows, or failed for want of capacity."""
    failed: float = 0.0
    """Answers that were failures of the upstream, whatever the capacity."""
    finished: float = 0.0
    service_time: float = 0.0
    """Seconds of upstream time of the finished, the queue left out."""
    service_squares: float = 0.0
    """The same in square seconds."""
    arrival_steps: float = 0.0
    """The squared differences between the arrivals of neighbouring seconds, added up; each worker adds up its own."""
    split: float = 1.0
    """Among how many workers the arrivals are split: (Σn)² ÷ Σn² of their arrivals, at least 1."""
    queued_time: float = 0.0
    """∫ queued dt, request seconds."""
    in_flight_time: float = 0.0
    """∫ in flight dt, request seconds."""
    shed: dict[str, float] = field(default_factory=dict)
    """Refusals by reason word."""
    delays: tuple[float, ...] = ()
    """Queue delays counted by :data:`DELAY_BOUNDS`; empty when nobody measures them."""
    services: tuple[float, ...] = ()
    """Service times counted by :data:`gateway.core.histogram.LATENCY_BOUNDS`; empty when nobody measures them."""
    queued: float = 0.0
    in_flight: float = 0.0
    queued_bytes: float = 0.0
    oldest_age: float = 0.0
    """Seconds that the oldest request in the queue has waited."""
    streams: float = 0.0
    """Those in flight that are no work: streams and tunnels, which end when their callers like."""
    held: float = 0.0
    """Those of them that keep their place in the limit, so that each holds a slot."""
    limit: float = 0.0
    """The admission limit of the whole target; 0 when it has none."""
    is_limit_guessed: bool = False
    """Nothing was learned about the target yet, so the limit says nothing of its replicas."""
    replicas: Replicas = Replicas()
    is_breaker_open: bool = False
    cold_starts: tuple[float, ...] = ()
    """The latest measured times from intent to ready, in seconds."""
    age: float = 0.0
    """How old the numbers were when this was taken, in seconds: the oldest of the workers' snapshots."""
    has_data: bool = True
    """False when a source did not answer; then the sums mean nothing."""
    gateway_strain: float = 0.0
    """How full the gateway itself is (event loop, memory, descriptors), 1.0 = full."""
