"""From readings to signals."""

from __future__ import annotations

from math import hypot, inf, isfinite, nan
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.signals.growth import Growth
from gateway.signals.history import History
from gateway.signals.meter import Meter, Objective
from gateway.signals.reading import Reading, Replicas
from gateway.signals.slots import ReplicaSlots
from gateway.simulate.scaling.work import poisson

if TYPE_CHECKING:
    from gateway.signals.signals import Signals

OBJECTIVE = Objective(slots=8)


def reading(at: float, rate: float = 100.0, service: float = 0.1, **more: object) -> Reading:
    count = rate * at
    made = Reading(
        at=at,
        first_tries=count,
        dispatched=count,
        good=count,
        finished=count,
        service_time=service * count,
        service_squares=2 * service * service * count,
        arrival_steps=2 * count,
        in_flight_time=service * count,
        limit=16.0,
        replicas=Replicas(ready=2, desired=2),
    )
    return replace(made, **more)


def run(meter: Meter, until: float, **more: object) -> None:
    for at in range(0, int(until) + 1, 5):
        meter.observe(reading(float(at), **more), float(at))


def test_demand_is_the_offered_load_and_what_chance_needs() -> None:
    meter = Meter(OBJECTIVE)
    run(meter, 120)
    signals = meter.observe(reading(125.0), 125.0)
    assert signals.load_slots == pytest.approx(10.0)
    assert signals.demand_slots > signals.load_slots + 0.9 * signals.spare_slots
    assert signals.service_time_cv2 == pytest.approx(1.0)
    assert signals.arrival_cv2 == pytest.approx(1.0)


def test_the_shed_count_as_demand() -> None:
    """A target that refuses half still asks for slots for all."""
    meter = Meter(OBJECTIVE)
    for at in range(0, 125, 5):
        half = 50.0 * at
        signals = meter.observe(
            reading(
                float(at),
                dispatched=half,
                finished=half,
                service_time=0.1 * half,
                in_flight_time=0.1 * half,
                good=half,
                bad=half,
                shed={"queue_full": half},
            ),
            float(at),
        )
    assert signals.offered_rps == pytest.approx(100.0)
    assert signals.load_slots == pytest.approx(10.0)
    assert signals.shed == pytest.approx(50.0)
    assert signals.slo_burn_60s == pytest.approx(500.0)


def test_requests_that_still_run_are_part_of_the_service_time() -> None:
    """The finished alone say 0.1 s; what is in flight says that the mean is a second."""
    meter = Meter(OBJECTIVE)
    for at in range(0, 125, 5):
        signals = meter.observe(reading(float(at), in_flight_time=100.0 * at), float(at))
    assert signals.service_time_s == pytest.approx(1.0)


def test_without_a_reading_the_last_signals_grow_old_and_then_invalid() -> None:
    meter = Meter(OBJECTIVE)
    run(meter, 60)
    known = meter.observe(None, 80.0)
    assert (known.signal_age_s, known.signal_valid) == (20.0, 1)
    assert known.offered_rps == pytest.approx(100.0)
    old = meter.observe(replace(reading(100.0), has_data=False), 100.0)
    assert (old.signal_age_s, old.signal_valid) == (40.0, 0)
    assert old.demand_slots == known.demand_slots > 0


def test_nothing_known_is_invalid_and_not_zero_demand_that_is_valid() -> None:
    signals = Meter(OBJECTIVE).observe(None, 5.0)
    assert (signals.signal_valid, signals.signal_age_s) == (0, 3600.0)


@pytest.mark.parametrize("bad", [nan, inf, -1.0])
def test_a_reading_that_is_no_number_is_no_reading(bad: float) -> None:
    meter = Meter(OBJECTIVE)
    run(meter, 60)
    signals = meter.observe(reading(65.0, first_tries=bad), 65.0)
    assert signals.signal_age_s == 5.0
    assert signals.offered_rps == pytest.approx(100.0)


def test_counters_that_begin_anew_give_no_negative_rate() -> None:
    meter = Meter(OBJECTIVE)
    run(meter, 60)
    signals = meter.observe(replace(reading(1.0), at=65.0), 65.0)
    assert signals.offered_rps == 0.0
    assert signals.history_s == 0.0


def test_the_sequence_goes_up_with_every_tick() -> None:
    meter = Meter(OBJECTIVE)
    assert [meter.observe(None, 5.0 * tick).seq for tick in range(3)] == [1, 2, 3]


@settings(max_examples=40, deadline=None)
@example([(0.0, 0.0, 0.0, 0, 0.0), (264.0, 2.069251191167203e-160, 0.0, 0, 0.0)])
@example([(0.0, 0.0, 0.0, 0, 0.0), (1.1125369292536007e-308, 1.0, 0.0, 0, 0.0)])
@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.floats(0, 1e3), st.floats(0, 1e6), st.integers(0, 50), st.floats(0, 1e4)),
        min_size=1,
        max_size=20,
    )
)
def test_every_flat_value_is_finite_whatever_is_counted(steps: list[tuple[float, float, float, int, float]]) -> None:
    meter = Meter(OBJECTIVE)
    count = work = 0.0
    for tick, (more, service, queued, ready, limit) in enumerate(steps):
        count, work = count + more, work + service
        made = Reading(
            at=5.0 * tick,
            first_tries=count,
            finished=count / 2,
            service_time=work,
            service_squares=work * service,
            queued=queued,
            limit=limit,
            replicas=Replicas(ready=ready),
            bad=count / 3,
            delays=(count,) * 16,
        )
        flat = meter.observe(made, 5.0 * tick).flat()
        assert all(isfinite(value) for value in flat.values()), flat


def test_the_flat_form_names_replicas_and_reasons() -> None:
    meter = Meter(OBJECTIVE)
    flat = meter.observe(reading(5.0, shed={"queue_full": 1.0}), 5.0).flat()
    assert {"demand_slots", "pressure", "replicas_ready", "shed_rps", "shed_rps_queue_full", "signal_valid"} <= set(
        flat
    )


def test_slots_stay_at_their_healthy_value_while_the_limit_shrinks_in_sickness() -> None:
    slots = ReplicaSlots(1)
    for tick in range(20):
        slots.learn(16.0, 2, is_healthy=True, now=10.0 * tick)
    for tick in range(20, 200):
        slots.learn(4.0, 2, is_healthy=False, now=10.0 * tick)
    assert slots.value == 8.0
    for tick in range(200, 300):
        slots.learn(4.0, 2, is_healthy=True, now=10.0 * tick)
    assert slots.value == 2.0


def test_a_steady_load_does_not_grow_and_a_climb_is_a_surge() -> None:
    growth = Growth()
    for tick in range(60):
        assert growth.update(10.0, 40.0, 5.0 * tick) == (0.0, 0.0)
    for tick in range(60, 66):
        usual, surge = growth.update(10.0 + 2.0 * (tick - 60), 40.0, 5.0 * tick)
    assert surge == pytest.approx(1.6 * 40 * 6 / 15)
    assert usual >= 0


def test_a_climb_that_chance_explains_is_no_surge() -> None:
    """Six slots more in 15 s: a surge where counts differ by one, none where they differ by two."""
    for noise, expected in ((0.0, 1.6 * 40 * 6 / 15), (1.0, 1.6 * 40 * 6 / 15), (2.0, 0.0)):
        growth = Growth()
        for tick in range(12):
            growth.update(10.0, 40.0, 5.0 * tick, noise)
        for tick in range(12, 15):
            _, surge = growth.update(10.0 + 2.0 * (tick - 11), 40.0, 5.0 * tick, noise)
        assert surge == pytest.approx(expected)


def test_a_climb_that_brings_less_than_a_fifth_of_the_load_is_no_surge() -> None:
    growth = Growth()
    found = [growth.update(100.0 + tick, 40.0, 5.0 * tick)[1] for tick in range(20)]
    assert max(found) == 0.0


def test_a_calm_load_of_few_requests_has_no_surges() -> None:
    """Poisson's law alone, 20 requests a second for two hours: demand never claims that it climbs."""
    rng = Random(7)
    meter, count, steps, before = Meter(OBJECTIVE), 0, 0.0, 20
    surges = []
    for second in range(7200):
        arrived = poisson(20.0, rng)
        count, steps, before = count + arrived, steps + (arrived - before) ** 2, arrived
        if second % 5 == 4:
            seen = reading(float(second + 1), 0.0)
            seen = replace(
                seen,
                first_tries=float(count),
                dispatched=float(count),
                good=float(count),
                finished=float(count),
                service_time=0.1 * count,
                service_squares=0.02 * count,
                in_flight_time=0.1 * count,
                arrival_steps=steps,
            )
            surges.append(meter.observe(seen, seen.at).surge_slots)
    assert max(surges[12:]) == 0.0


def test_what_is_remembered_of_a_surge_is_a_quarter_of_the_load_at_most() -> None:
    """Five minutes after a surge that went: the spare and the capped growth, or the headroom."""
    meter = Meter(OBJECTIVE)
    count = 0.0
    for tick in range(1, 121):
        count += 5 * (400.0 if 20 < tick <= 60 else 100.0)
        signals = meter.observe(
            replace(
                reading(5.0 * tick, 0.0),
                first_tries=count,
                dispatched=count,
                good=count,
                finished=count,
                service_time=0.1 * count,
                service_squares=0.02 * count,
                in_flight_time=0.1 * count,
                arrival_steps=2 * count,
            ),
            5.0 * tick,
        )
    assert signals.growth_slots > 0.25 * signals.load_slots
    assert signals.demand_slots == pytest.approx(10 + max(hypot(signals.spare_slots, 2.5), 2.5))


def test_a_window_is_the_difference_of_two_readings() -> None:
    history = History()
    for at in range(0, 700, 5):
        history.add(Reading(at=float(at), first_tries=float(at)))
    assert history.back(60.0).at == 635.0
    assert history.span <= 1000
    history.add(Reading(at=1.0))
    assert history.last.at == 695.0


def test_looking_often_costs_no_memory_and_loses_nothing() -> None:
    """With a look a second a reading every two is kept, the newest always, and windows stay what they are."""
    history = History()
    for second in range(2000):
        history.add(Reading(at=float(second), first_tries=float(second)))
        assert history.last.at == second
    assert len(history) < 660 / 2 + 70
    assert history.last.at - history.back(10.0).at in {10.0, 11.0, 12.0}


def test_a_target_that_sleeps_has_the_signals_that_it_would_have_if_all_were_measured() -> None:
    """Nothing is measured again while nothing happens, and nobody can tell: not then, and not after it woke up."""

    class Diligent(Meter):
        __slots__ = ()

        def _is_still(self, reading: Reading) -> bool:  # noqa: ARG002 - it always looks
            return False

    quick, diligent = Meter(OBJECTIVE), Diligent(OBJECTIVE)
    measured = 0
    for second in range(3000):
        busy = min(second, 200) + max(second - 2500, 0)
        seen = replace(reading(float(busy)), at=float(second), gateway_strain=second % 7 / 10)
        measured += not quick._is_still(seen)
        assert quick.observe(seen, float(second)) == diligent.observe(seen, float(second))
    assert measured < 1500


def test_a_limit_that_is_a_guess_says_nothing_of_replicas() -> None:
    """Until something was learned a replica has the slots that the operator named."""
    meter = Meter(Objective(slots=8))
    for second in range(1, 30):
        known = meter.observe(reading(float(second), limit=20.0, is_limit_guessed=True), float(second))
    assert known.slots_per_replica == 8
    for second in range(30, 60):
        known = meter.observe(reading(float(second), limit=20.0), float(second))
    assert known.slots_per_replica == 20.0 / max(known.replicas.ready, 1)


def test_a_silence_begins_a_new_history() -> None:
    """No mean reaches over it, and what grew before it does not count as growth any more."""
    meter = Meter(Objective(slots=8.0))
    arrived = 0.0

    def look(at: float) -> Signals:
        return meter.observe(Reading(at=at, first_tries=arrived, finished=arrived, service_time=0.1 * arrived), at)

    for second in range(120):
        arrived += 2.0 * second
        found = look(float(second))
    assert found.growth_slots > 1
    found = look(160.0)
    assert (found.history_s, found.offered_rps) == (0.0, 0.0)
    for second in range(161, 230):
        arrived += 238.0
        found = look(float(second))
    assert found.offered_rps == pytest.approx(238.0)
    assert found.growth_slots == pytest.approx(0.0, abs=1.0)


def test_streams_are_no_load_unless_they_keep_their_place() -> None:
    """A thousand that gave their slots back ask for no replica; five that keep theirs are five slots."""
    found = {}
    for held in (0.0, 5.0):
        meter = Meter(OBJECTIVE)
        run(meter, 120, streams=1000.0, held=held, in_flight=1010.0)
        found[held] = meter.observe(reading(125.0, streams=1000.0, held=held, in_flight=1010.0), 125.0)
    assert found[0.0].load_slots == pytest.approx(10.0)
    assert found[5.0].load_slots == pytest.approx(15.0)
    assert found[0.0].slots_per_replica == found[5.0].slots_per_replica == 8.0
    assert [one.streams for one in found.values()] == [1000.0, 1000.0]
    assert found[0.0].utilization == pytest.approx(10 / 16)
    assert found[5.0].utilization == pytest.approx(15 / 16)
