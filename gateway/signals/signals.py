"""The signals of one target at one tick: what autoscalers, people and our own decisions read."""

from __future__ import annotations

from math import isfinite
from typing import Final

from msgspec import Struct, field

from gateway.signals.reading import Replicas

SCHEMA: Final = 1
"""The version of the flat form; a name never changes its meaning inside one version."""


class Signals(Struct, frozen=True):
    """All finite, always present; while ``signal_valid`` is 0 they are the last that were known."""

    at: float
    """The instant of the tick, on the clock of ``now``."""
    seq: int = 0
    signal_age_s: float = 0.0
    signal_valid: int = 0
    history_s: float = 0.0
    """Seconds of readings that the windows can see, at most 660."""
    offered_rps: float = 0.0
    """First tries and retries, admitted or not."""
    first_tries_rps: float = 0.0
    retries_rps: float = 0.0
    admitted_rps: float = 0.0
    goodput_rps: float = 0.0
    failed_rps: float = 0.0
    shed_rps: dict[str, float] = field(default_factory=dict)
    inflight: float = 0.0
    """Requests that the target works for: the mean of 10 s, streams left out."""
    streams: float = 0.0
    """Streams and tunnels that are open now: in flight, and no work."""
    queued: float = 0.0
    queued_bytes: float = 0.0
    oldest_age_s: float = 0.0
    queue_delay_p50_s: float = 0.0
    queue_delay_p95_s: float = 0.0
    queue_delay_p99_s: float = 0.0
    service_time_s: float = 0.0
    service_time_p95_s: float = 0.0
    service_time_cv2: float = 1.0
    arrival_cv2: float = 1.0
    slots_per_replica: float = 1.0
    limit: float = 0.0
    replicas: Replicas = Replicas()
    utilization: float = 0.0
    """In flight ÷ slots of the ready, in [0, 1]: for people only."""
    load_slots: float = 0.0
    """λ·S and the slots that streams keep: what would be busy with slots without end."""
    spare_slots: float = 0.0
    """What chance alone needs beside the load: β√(λ·S)·√((ca²+cs²)/2), or Erlang's exact number."""
    growth_slots: float = 0.0
    """What the load usually grows by in one lead time, from its changes in the last ten minutes."""
    surge_slots: float = 0.0
    """What it grows by in one lead time if it goes on climbing as it does, × 1.6.

    0 when that is little, or chance explains it.
    """
    demand_slots: float = 0.0
    """λ·S + max(√(spare² + g²), 0.25·λ·S) with g = max(min(growth, 0.25·λ·S), surge).

    Slots that meet the objective when a replica that is asked for now would be ready.
    """
    backlog_slots: float = 0.0
    wanted_slots: float = 0.0
    """Demand and backlog: what an autoscaler divides by the slots that it gives to each replica."""
    pressure: float = 0.0
    time_to_drain_s: float = 0.0
    headroom_rps: float = 0.0
    time_to_saturation_s: float = 0.0
    slo_burn_5s: float = 0.0
    slo_burn_60s: float = 0.0
    slo_burn_600s: float = 0.0
    error_budget_left: float = 1.0
    """Of the last ten minutes, in [0, 1]."""
    breaker_open: int = 0
    cold_start_p50_s: float = 0.0
    cold_start_p90_s: float = 0.0
    cost_rate: float = 0.0
    cost_per_1k: float = 0.0
    gateway_strain: float = 0.0

    @property
    def shed(self) -> float:
        """Refused per second, for whatever reason."""
        return sum(self.shed_rps.values())

    @property
    def capacity_slots(self) -> float:
        """Slots of the replicas that are ready or warming."""
        return self.slots_per_replica * (self.replicas.ready + self.replicas.warming)

    def flat(self) -> dict[str, float]:
        """Name → finite number, for JSON that any metrics scaler can point into."""
        found: dict[str, float] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name == "shed_rps":
                found["shed_rps"] = self.shed
                found.update({f"shed_rps_{reason}": rate for reason, rate in value.items()})
            elif name == "replicas":
                found.update({f"replicas_{state}": getattr(value, state) for state in value.__struct_fields__})
            elif name != "at":
                found[name] = value
        return {name: value if isfinite(value) else 0.0 for name, value in found.items()}
