"""Every signal has a metric with its unit in the name, and no two have the same."""

from __future__ import annotations

from gateway.signals.signals import Signals
from gateway.telemetry.signals import help_of, series_of


def test_every_signal_has_its_own_series() -> None:
    """Names keep their meaning; percentiles, windows, states and reasons are labels."""
    names = [name for name in Signals(at=0.0, shed_rps={"queue_full": 1.0}).flat() if name != "seq"]
    series = {name: series_of(name) for name in names}
    assert None not in series.values()
    assert len(set(series.values())) == len(names)
    said = {name: (found.family, found.value) for name, found in series.items() if found is not None}
    assert said["signal_age_s"] == ("gateway_signal_age_seconds", "")
    assert said["offered_rps"] == ("gateway_signal_offered_per_second", "")
    assert said["shed_rps_queue_full"] == ("gateway_signal_shed_by_reason_per_second", "queue_full")
    assert said["replicas_ready"] == ("gateway_signal_replicas", "ready")
    assert said["queue_delay_p95_s"] == ("gateway_signal_queue_delay_percentile_seconds", "p95")
    assert said["slo_burn_60s"] == ("gateway_signal_slo_burn_ratio", "60s")
    assert said["pressure"] == ("gateway_signal_pressure_ratio", "")
    assert said["demand_slots"] == ("gateway_signal_demand_slots", "")
    assert series_of("seq") is None


def test_every_family_says_what_it_is() -> None:
    """HELP is a sentence of its own, for the signals of the meter and for those of the decisions."""
    names = [name for name in Signals(at=0.0, shed_rps={"queue_full": 1.0}).flat() if name != "seq"]
    names += ["desired_replicas", "desired_replicas_lower", "voted_replicas", "scale_out_useful", "scaling_frozen"]
    names += ["dependency_state", "shadow_regret_replica_seconds", "shadow_regret_violations"]
    said = {}
    for name in names:
        series = series_of(name)
        assert series is not None
        said[series.family] = help_of(series.family)
    assert "A signal of the upstream; docs/scaling.md." not in said.values()
    assert len(set(said.values())) == len(said)
