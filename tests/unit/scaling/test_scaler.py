"""The whole loop for one target."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.units import Seconds
from gateway.scaling.decision import Decision, ledger_line, read_ledger_line
from gateway.scaling.scaler import Scaler
from gateway.scaling.settings import PriceSettings, ScalingSettings
from gateway.signals.reading import Replicas
from gateway.signals.signals import Signals

LIVE = ScalingSettings(mode="live", min=1, max=40, hold=Seconds(60), max_hold=Seconds(240))

PATIENT = replace(LIVE, hold=Seconds(600), max_hold=Seconds(1200))


def signals(load: float, ready: int, **more: object) -> Signals:
    made = Signals(
        at=0.0,
        signal_valid=1,
        history_s=600.0,
        slots_per_replica=8.0,
        load_slots=load,
        spare_slots=4.0,
        offered_rps=10 * load,
        admitted_rps=10 * load,
        service_time_s=0.1,
        cold_start_p90_s=30.0,
        replicas=Replicas(ready=ready, desired=ready),
    )
    return replace(made, **more)


def drive(scaler: Scaler, load: float, ready: int, *, ticks: int, start: float = 0.0, **more: object) -> int:
    for tick in range(ticks):
        decision = scaler.step(signals(load, ready, **more), start + 5.0 * tick)
        if decision is not None:
            ready = decision.after
    return ready


def test_more_load_scales_out_at_once_and_says_who_wanted_it() -> None:
    decision = Scaler(LIVE, "shop").step(signals(60.0, 5), 0.0)
    assert decision is not None
    assert (decision.before, decision.after, decision.reason, decision.mode) == (5, 8, "load", "live")
    assert [vote.analyzer for vote in decision.votes] == ["demand"]
    assert decision.id == "shop-1"


def test_less_load_scales_in_after_the_hold_only() -> None:
    scaler = Scaler(LIVE)
    assert drive(scaler, 50.0, 7, ticks=13) == 7
    assert drive(scaler, 36.0, 7, ticks=12, start=65.0) == 7
    assert drive(scaler, 36.0, 7, ticks=4, start=125.0) == 6


def test_off_and_observe_decide_nothing() -> None:
    for mode in ("off", "observe"):
        assert Scaler(replace(LIVE, mode=mode)).step(signals(60.0, 5), 0.0) is None
    observing = Scaler(replace(LIVE, mode="observe"))
    observing.step(signals(60.0, 5), 0.0)
    assert observing.desired == 8


def test_shadow_moves_a_pool_of_its_own_and_knows_its_regret() -> None:
    scaler = Scaler(replace(LIVE, mode="shadow"))
    for tick in range(20):
        scaler.step(signals(60.0, 5, slo_burn_5s=100.0), 5.0 * tick)
    assert scaler.shadow is not None
    assert scaler.shadow.asked == scaler.shadow.ready == 8
    regret = scaler.shadow.regret()
    assert regret["replica_seconds"] > 0 > regret["violations"]


def test_a_pin_holds_for_its_time_and_then_the_target_stays() -> None:
    scaler = Scaler(replace(LIVE, mode="pinned", pin=9, pin_for=Seconds(60)))
    decision = scaler.step(signals(60.0, 5), 0.0)
    assert decision is not None
    assert (decision.after, decision.guards[-1].reason) == (9, "pinned")
    assert scaler.step(signals(200.0, 9), 120.0) is None


def test_an_open_breaker_vetoes_what_the_load_wants() -> None:
    scaler = Scaler(LIVE)
    assert scaler.step(signals(60.0, 5, breaker_open=1), 0.0) is None
    assert scaler.reason == "breaker_open"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 200), st.integers(0, 1), st.floats(0, 100)), min_size=1, max_size=80))
def test_old_or_missing_numbers_never_scale_in(story: list[tuple[float, int, float]]) -> None:
    scaler = Scaler(LIVE)
    ready = 10
    for tick, (load, valid, age) in enumerate(story):
        decision = scaler.step(signals(load, ready, signal_valid=valid, signal_age_s=age), 5.0 * tick)
        if decision is not None:
            if not valid or age > 15:
                assert decision.after >= decision.before
            ready = decision.after


def test_a_scale_out_that_nobody_needed_is_undone_and_a_needed_one_is_not() -> None:
    scaler = Scaler(PATIENT)
    drive(scaler, 40.0, 6, ticks=130, start=-550.0)
    scaler.order(12)
    decision = scaler.step(signals(40.0, 6), 100.0)
    assert decision is not None
    undone = []
    for tick in range(1, 20):
        found = scaler.step(signals(40.0, 12), 100.0 + 5.0 * tick)
        undone += [found] if found is not None else []
    assert (undone[0].after, undone[0].reason, undone[0].undoes) == (6, "scale_out_not_needed", decision.id)
    honest = Scaler(LIVE)
    assert drive(honest, 40.0, 6, ticks=5) == 6
    needed = honest.step(signals(90.0, 6), 25.0)
    assert needed is not None
    assert all(honest.step(signals(90.0, needed.after), 30.0 + 5.0 * tick) is None for tick in range(20))


def test_a_scale_out_without_gain_is_undone() -> None:
    """There is demand, it burns, and the new replicas bring no throughput."""
    scaler = Scaler(LIVE)
    first = scaler.step(signals(90.0, 6, admitted_rps=480.0, slo_burn_5s=50.0, slo_burn_60s=50.0), 0.0)
    assert first is not None
    found: list[Decision] = []
    for tick in range(1, 16):
        state = signals(90.0, first.after, admitted_rps=481.0, slo_burn_5s=50.0, slo_burn_60s=50.0)
        state = replace(state, replicas=Replicas(ready=first.after, warming=1, desired=first.after))
        decision = scaler.step(state, 5.0 * tick)
        found += [decision] if decision is not None else []
    assert found[0].reason == "scale_out_no_gain"
    assert found[0].after == 6


def test_a_scale_in_that_hurts_is_restored_at_once() -> None:
    scaler = Scaler(LIVE)
    drive(scaler, 40.0, 6, ticks=20)
    scaler.order(4)
    assert scaler.step(signals(20.0, 6), 100.0) is not None
    restored = scaler.step(signals(20.0, 4, slo_burn_5s=50.0), 105.0)
    assert restored is not None
    assert (restored.after, restored.reason) == (6, "scale_in_hurt")


def test_harm_under_a_load_that_has_grown_is_not_the_fault_of_the_scale_in() -> None:
    scaler = Scaler(LIVE)
    drive(scaler, 40.0, 6, ticks=20)
    scaler.order(4)
    scaler.step(signals(20.0, 6), 100.0)
    decision = scaler.step(signals(60.0, 4, slo_burn_5s=50.0), 105.0)
    assert decision is not None
    assert not decision.undoes


def test_two_reverts_in_half_an_hour_freeze_the_target_until_it_is_thawed() -> None:
    scaler = Scaler(LIVE)
    drive(scaler, 20.0, 6, ticks=20)
    for start in (100.0, 200.0):
        drive(scaler, 20.0, 6, ticks=15, start=start - 75.0)
        scaler.order(4)
        assert scaler.step(signals(20.0, 6), start) is not None
        assert scaler.step(signals(20.0, 4, slo_burn_5s=50.0), start + 5.0) is not None
    assert scaler.frozen_at == 205.0
    assert scaler.step(signals(21.0, 3), 300.0) is None
    assert scaler.reason == "frozen"
    scaler.thaw()
    assert scaler.step(signals(21.0, 3), 305.0) is not None


def _frozen() -> Scaler:
    scaler = Scaler(LIVE)
    scaler.step(signals(20.0, 6), 0.0)
    scaler.frozen_at, scaler._frozen_load = 0.0, 20.0
    return scaler


def test_a_frozen_target_does_not_starve() -> None:
    assert _frozen().step(signals(21.0, 3), 5.0) is None
    assert _frozen().step(signals(30.0, 3), 5.0) is not None
    assert _frozen().step(signals(21.0, 3, slo_burn_5s=20.0, slo_burn_60s=20.0), 5.0) is not None


def test_a_freeze_ends_by_itself() -> None:
    assert _frozen().step(signals(21.0, 3), 3605.0) is not None


def test_a_useless_scale_out_backs_off_unless_the_load_grows() -> None:
    scaler = Scaler(PATIENT)
    drive(scaler, 40.0, 6, ticks=130, start=-550.0)
    scaler.order(12)
    scaler.step(signals(40.0, 6), 100.0)
    drive(scaler, 40.0, 12, ticks=15, start=105.0)
    assert scaler.step(signals(42.0, 5), 200.0) is None
    assert scaler.reason == "backed_off"
    assert scaler.step(signals(80.0, 6), 205.0) is not None


def test_a_decision_is_one_line_of_json_and_back() -> None:
    decision = Scaler(LIVE, "shop").step(signals(60.0, 5), 0.0)
    assert decision is not None
    line = ledger_line(decision)
    assert line.count(b"\n") == 1
    assert b'"from":5' in line
    assert b'"to":8' in line
    assert read_ledger_line(line) == decision
    assert read_ledger_line(ledger_line(decision, "2030-01-01T00:00:00Z")) == decision


def test_a_queue_a_burn_a_budget_and_a_full_gateway_are_heard() -> None:
    queue = Scaler(LIVE).step(signals(40.0, 6, queued=300.0, backlog_slots=30.0), 0.0)
    assert queue is not None
    assert queue.reason == "queue"
    burn = Scaler(LIVE).step(signals(20.0, 6, slo_burn_5s=20.0, slo_burn_60s=20.0), 0.0)
    assert burn is not None
    assert (burn.reason, burn.after) == ("slo_burn", 7)
    priced = replace(LIVE, price=PriceSettings(replica_hour=1.0, budget_hour=7.0))
    budget = Scaler(priced).step(signals(90.0, 6), 0.0)
    assert budget is not None
    assert (budget.after, budget.reason, budget.guards[-1].reason) == (7, "load", "budget")
    strained = Scaler(LIVE)
    assert strained.step(signals(60.0, 5, gateway_strain=0.95, utilization=0.1), 0.0) is None
    assert strained.reason == "gateway_full"


@pytest.mark.parametrize("service", [0.1, 9.0, 20.0])
def test_a_trusted_trend_is_heard(service: float) -> None:
    """But not where services are long: after a step their load climbs for a whole service time, and then no more."""
    scaler = Scaler(replace(LIVE, max=200))
    for tick in range(80):
        scaler.step(signals(10.0 + tick, 100, service_time_s=service), 5.0 * tick)
    assert ("trend" in [vote.analyzer for vote in scaler.votes]) == (service <= 10)


def test_the_same_signals_lead_to_the_same_decisions() -> None:
    def story() -> list[str]:
        scaler = Scaler(LIVE)
        found = [scaler.step(signals(20.0 + (tick * 7919) % 50, 5), 5.0 * tick) for tick in range(100)]
        return [repr(each) for each in found]

    assert story() == story()


def test_a_pin_by_hand_is_above_the_votes_until_its_time_is_over() -> None:
    """A live target goes to the number that somebody pinned and is decided again afterwards."""
    scaler = Scaler(ScalingSettings(mode="live", max=20), "app")
    signals = Signals(
        at=0.0, signal_valid=1, load_slots=4.0, slots_per_replica=4.0, replicas=Replicas(ready=2, desired=2)
    )
    scaler.pin(9, 60.0)
    decision = scaler.step(signals, 0.0)
    assert decision is not None
    assert (decision.after, decision.reason, decision.mode) == (9, "pinned", "pinned")
    assert scaler.mode == "pinned"
    scaler.step(signals, 60.0)
    assert (scaler.mode, scaler.pinned) == ("live", None)


def test_a_scaler_goes_on_where_another_ended() -> None:
    """Numbers of decisions are not given twice, and a freeze holds on."""
    scaler = Scaler(ScalingSettings(mode="live", max=20), "app")
    scaler.resume(41, frozen_at=0.0)
    signals = Signals(
        at=0.0, signal_valid=1, load_slots=40.0, slots_per_replica=4.0, replicas=Replicas(ready=2, desired=2)
    )
    assert scaler.step(signals, 5.0) is None
    assert scaler.reason == "frozen"
    assert [mark.guard for mark in scaler.marks][-1] == "freeze"
    scaler.thaw()
    decision = scaler.step(signals, 10.0)
    assert decision is not None
    assert decision.id == "app-42"


def test_another_mode_begins_anew() -> None:
    """Set to pinned the number of the settings holds; set to live a whole hold must be seen before a scale-in."""
    scaler = Scaler(ScalingSettings(mode="observe", max=20, pin=3, hold=Seconds(20), max_hold=Seconds(20)), "app")
    signals = Signals(
        at=0.0, signal_valid=1, load_slots=0.5, slots_per_replica=4.0, replicas=Replicas(ready=5, desired=5)
    )
    for second in range(0, 100, 5):
        assert scaler.step(signals, float(second)) is None
    scaler.set_mode("live", 100.0)
    for second in range(100, 120, 5):
        assert scaler.step(signals, float(second)) is None
    assert scaler.step(signals, 125.0) is not None
    scaler.set_mode("pinned", 130.0)
    decision = scaler.step(signals, 130.0)
    assert decision is not None
    assert (decision.after, decision.reason) == (3, "pinned")


def test_who_waited_for_the_first_replica_is_no_reason_for_a_second_one() -> None:
    """Where there was none the objective burns for those who waited; later a burn is a burn again."""
    scaler = Scaler(replace(LIVE, min=0))
    burning = {"slo_burn_5s": 500.0, "slo_burn_60s": 500.0, "spare_slots": 0.0, "backlog_slots": 0.0}
    assert scaler.step(signals(0.1, 0, **burning, replicas=Replicas(ready=0, warming=1, desired=1)), 0.0) is None
    assert scaler.step(signals(0.1, 1, **burning), 5.0) is None
    later = scaler.step(signals(0.1, 1, **burning), 15.0)
    assert later is not None
    assert (later.before, later.after, later.reason) == (1, 2, "slo_burn")


def test_nobody_asks_so_the_last_replica_goes_after_the_hold() -> None:
    """With ``min = 0`` and no request at all for a whole hold; a trickle keeps one."""
    silent = {"spare_slots": 0.0, "growth_slots": 0.0, "offered_rps": 0.0, "admitted_rps": 0.0}
    assert drive(Scaler(replace(LIVE, min=0)), 0.0, 1, ticks=14, **silent) == 0
    assert drive(Scaler(replace(LIVE, min=0)), 0.01, 1, ticks=60, **silent) == 1


def test_a_scale_out_is_not_judged_by_replicas_that_are_not_ready() -> None:
    """What burns while they are still starting is no proof that they bring nothing."""
    scaler = Scaler(LIVE)
    burning = {"admitted_rps": 480.0, "slo_burn_5s": 50.0, "slo_burn_60s": 50.0}
    first = scaler.step(signals(90.0, 6, **burning), 0.0)
    assert first is not None
    for tick in range(1, 40):
        late = Replicas(ready=first.after - 1, warming=1, desired=first.after)
        decision = scaler.step(signals(90.0, first.after, **burning, replicas=late), 5.0 * tick)
        assert decision is None or not decision.undoes


def test_several_scale_ins_are_undone_to_where_the_first_began() -> None:
    """They are one trial: harm after the second gives back what both have taken."""
    scaler = Scaler(LIVE)
    drive(scaler, 40.0, 6, ticks=20)
    scaler.order(5)
    assert scaler.step(signals(20.0, 6), 100.0) is not None
    scaler.order(4)
    assert scaler.step(signals(20.0, 5), 105.0) is not None
    restored = scaler.step(signals(20.0, 4, slo_burn_5s=50.0), 110.0)
    assert restored is not None
    assert (restored.after, restored.reason) == (6, "scale_in_hurt")


def test_one_look_after_a_silence_takes_nothing_away() -> None:
    """Three minutes without a word, and a whole hold is seen again before anything goes."""
    scaler = Scaler(LIVE)
    drive(scaler, 50.0, 7, ticks=30)
    begin = 145.0 + 180.0
    for tick in range(12):
        assert scaler.step(signals(1.0, 7), begin + 5.0 * tick) is None
    assert drive(scaler, 1.0, 7, ticks=10, start=begin + 60.0) < 7


def test_what_was_only_made_smaller_keeps_the_word_of_its_vote() -> None:
    """A scale-in down to the minimum is the votes' doing, and a pin is the pin's."""
    scaler = Scaler(replace(LIVE, min=2))
    found: list[Decision] = []
    for tick in range(30):
        decision = scaler.step(signals(0.0, 6, spare_slots=0.0), 5.0 * tick)
        found += [decision] if decision is not None else []
    assert (found[0].after, found[0].reason) == (2, "surplus")
    scaler.pin(3, 1000.0)
    pinned = scaler.step(signals(0.0, 6, spare_slots=0.0), 150.0)
    assert pinned is not None
    assert (pinned.after, pinned.reason) == (3, "pinned")
