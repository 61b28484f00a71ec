"""Which signal becomes which metric (pure): base units in the name, variants as labels."""

from __future__ import annotations

from typing import Final, NamedTuple

# Ends of names, and what they are with their unit written out.
_UNITS: Final = (("_rps", "_per_second"), ("_per_1k", "_per_thousand"), ("_cv2", "_squared_variation_ratio"))
_RATIOS: Final = frozenset({"utilization", "pressure", "error_budget_left", "gateway_strain"})
_FAMILIES: Final = (
    # a prefix of names, the family that they make, its label
    ("shed_rps_", "shed_by_reason_per_second", "reason"),
    ("replicas_", "replicas", "state"),
    ("queue_delay_", "queue_delay_percentile_seconds", "percentile"),
    ("slo_burn_", "slo_burn_ratio", "window"),
    ("cold_start_", "cold_start_percentile_seconds", "percentile"),
)
_PREFIX: Final = "gateway_signal_"


class Series(NamedTuple):
    """The family of a signal and, if it is one of several, the label that tells them apart."""

    family: str
    label: str = ""
    value: str = ""


def series_of(signal: str) -> Series | None:
    """The series of a signal by its flat name; None for what is no signal or has a metric of its own."""
    if signal == "seq" or signal.startswith("orca_"):
        return None
    if signal.startswith("signal_"):
        signal = signal.removeprefix("signal_")
    for prefix, family, label in _FAMILIES:
        if signal.startswith(prefix):
            rest = signal.removeprefix(prefix)
            return Series(_PREFIX + family, label, rest.removesuffix("_s"))
    if signal in _RATIOS:
        return Series(f"{_PREFIX}{signal}_ratio")
    for end, unit in _UNITS:
        if signal.endswith(end):
            return Series(_PREFIX + signal.removesuffix(end) + unit)
    if signal.endswith("_s"):
        return Series(_PREFIX + signal.removesuffix("_s") + "_seconds")
    return Series(_PREFIX + signal)


_HELP: Final = {
    "age_seconds": "Age of the newest reading that the upstream's signals are made of.",
    "valid": "1 while the reading is young and sound enough to act on, else 0.",
    "history_seconds": "Time for which the upstream has been watched.",
    "offered_per_second": "Arrivals, admitted or not, retries included; mean of 10 s.",
    "first_tries_per_second": "Arrivals that are no retries; mean of 10 s.",
    "retries_per_second": "Further attempts of ours, and arrivals that a trusted proxy says are repeats; mean of 10 s.",
    "admitted_per_second": "Attempts sent to the upstream; mean of 10 s.",
    "goodput_per_second": "Answers below 500 after a wait within slo.wait; mean of 10 s.",
    "failed_per_second": "Requests whose last attempt failed; mean of 10 s.",
    "shed_per_second": "Requests turned away at the gate; mean of 10 s.",
    "shed_by_reason_per_second": "Requests turned away at the gate, by reason word; mean of 10 s.",
    "inflight": "Requests that the upstream works for, streams left out; mean of 10 s.",
    "streams": "Streams and tunnels that are open now; in flight, and no work.",
    "queued": "Requests waiting for admission.",
    "queued_bytes": "Bytes of bodies held while requests wait.",
    "oldest_age_seconds": "Wait so far of the request that has waited longest.",
    "queue_delay_percentile_seconds": "Wait for admission, by percentile, as the upper end of its bucket.",
    "service_time_seconds": "Mean time from dispatch to the last byte, streams and tunnels left out.",
    "service_time_p95_seconds": "95th percentile of the same over a minute, as the upper end of its bucket.",
    "service_time_squared_variation_ratio": "Squared coefficient of variation of service times; 1 is exponential.",
    "arrival_squared_variation_ratio": "Squared coefficient of variation of arrivals; 1 is Poisson.",
    "slots_per_replica": "Requests that one replica serves at once, as the limit has found.",
    "limit": "Requests that may be in flight.",
    "replicas": "Replicas by state, as their actuator sees them.",
    "utilization_ratio": "Slots in use / slots of ready replicas.",
    "load_slots": "Slots that arrivals keep busy: arrival rate x service time.",
    "spare_slots": "Slots beside the load that chance needs to keep the objective.",
    "growth_slots": "Growth of the load within a lead time, 95th percentile of ten minutes.",
    "surge_slots": "Growth within a lead time that the slope of the last 15 s foretells.",
    "demand_slots": "Slots that the flow of requests needs: load and what chance and growth add.",
    "backlog_slots": "Slots that would drain the queue within a second.",
    "wanted_slots": "Demand and backlog together: the number for an autoscaler.",
    "pressure_ratio": "Wanted slots / slots of ready and warming replicas; 1 is exactly enough.",
    "time_to_drain_seconds": "Time to drain the queue with the slots that are free; at most 3600.",
    "headroom_per_second": "Further arrivals that the free slots can serve.",
    "time_to_saturation_seconds": "Time until the slots are full at the present slope; at most 3600.",
    "slo_burn_ratio": "Share of bad answers / share that the objective allows, by window.",
    "error_budget_left_ratio": "Share of the objective's allowance that the last ten minutes have left.",
    "breaker_open": "1 while most workers ask no endpoint of the upstream, else 0.",
    "cold_start_percentile_seconds": "Time from intent to ready of a replica, by percentile.",
    "cost_rate": "Price of the present replicas for an hour, in the currency of price.replica_hour.",
    "cost_per_thousand": "Price of a thousand good answers, in the same currency.",
    "gateway_strain_ratio": "How full the fullest worker of the gateway itself is; 1 is full.",
    "desired_replicas": "Replicas that the last decision step came to, guards included.",
    "desired_replicas_lower": "Lower bound of the desired replicas in a lead time, nine times in ten.",
    "desired_replicas_upper": "Upper bound of the desired replicas in a lead time, nine times in ten.",
    "voted_replicas": "Replicas that the votes asked for, before the guards.",
    "scale_out_useful": "0 while a ceiling lies below what is wanted, so that more replicas bring nothing, else 1.",
    "dependency_state": "0 well, 1 answers fail while slots are free, 2 another replica brought nothing, 3 shut.",
    "scaling_frozen": "1 while decisions wait for an order after two that were undone, else 0.",
    "shadow_regret_replica_seconds": "Replica-seconds that the shadow would have cost beyond the real decisions.",
    "shadow_regret_violations": "Violations that the shadow would have had beyond the real decisions.",
}


def help_of(family: str) -> str:
    """What a family of signals is, with its unit."""
    return _HELP.get(family.removeprefix(_PREFIX), "A signal of the upstream; docs/scaling.md.")
