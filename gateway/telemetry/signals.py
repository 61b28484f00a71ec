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
