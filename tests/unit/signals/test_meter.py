"""From readings to signals."""

from __future__ import annotations

from math import hypot, inf, isfinite, nan, sqrt
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


@pytest.mark.parametrize("length", [0, 60, 600])
def test_a_sick_start_teaches_no_slots(length: int) -> None:
    """A limit that has shrunk to a slot a replica is a symptom: K is what the settings say until the first calm."""
    meter = Meter(OBJECTIVE)
    for second in range(length + 1):
        bad = 20.0 * second
        seen = reading(float(second), limit=2.0, bad=bad, good=80.0 * second)
        assert meter.observe(seen, seen.at).slots_per_replica == 8.0
    for second in range(length + 1, length + 100):
        seen = reading(float(second), limit=8.0, bad=20.0 * length, good=100.0 * second - 20.0 * length)
        known = meter.observe(seen, seen.at)
    assert known.slots_per_replica == 4.0


def test_slots_are_not_learned_while_nothing_is_answered() -> None:
    """Who was asked nothing has shown nothing."""
    meter = Meter(OBJECTIVE)
    for second in range(100):
        known = meter.observe(reading(float(second), 0.0, limit=2.0), float(second))
    assert known.slots_per_replica == 8.0
    assert not meter.knows_slots


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("dispersion", [0.0, 1.0, 5.0])
def test_the_variability_of_arrivals_does_not_depend_on_the_number_of_workers(workers: int, dispersion: float) -> None:
    """Each arrival comes to any worker by chance; the squared steps are counted by each worker for itself."""
    rng = Random(3)
    meter = Meter(OBJECTIVE)
    counts, last = [0] * workers, [0] * workers
    steps = 0.0
    for second in range(600):
        # groups of five at once have five times the variance of single ones; the same number each second has none
        arrived = 40 if dispersion == 0 else int(dispersion) * poisson(40 / dispersion, rng)
        now = [0] * workers
        for _ in range(arrived):
            now[rng.randrange(workers)] += 1
        if second:
            steps += sum((one - other) ** 2 for one, other in zip(now, last, strict=True))
        last = now
        counts = [one + other for one, other in zip(counts, now, strict=True)]
        seen = reading(
            second + 1.0,
            first_tries=float(sum(counts)),
            arrival_steps=steps,
            split=sum(counts) ** 2 / sum(each * each for each in counts),
        )
        known = meter.observe(seen, seen.at)
    assert known.arrival_cv2 == pytest.approx(dispersion, abs=0.15 + 0.05 * workers + 0.2 * dispersion)


def _surges(rates: list[float], every: int = 1) -> list[float]:
    """The surge after each second of these rates, looked at so often."""
    meter, count, found = Meter(OBJECTIVE), 0.0, []
    for second, rate in enumerate(rates, 1):
        count += rate
        if second % every == 0:
            seen = reading(count / 100.0, 100.0)
            found.append(meter.observe(replace(seen, at=float(second)), float(second)).surge_slots)
    return found


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("silence", [0, 3, 5, 40, 700])
def test_a_climb_from_nothing_is_no_surge(silence: int, every: int) -> None:
    """The first windows after a start have silence in them, so their slope says nothing."""
    assert max(_surges([0.0] * silence + [1000.0] * 100, every)) == 0.0


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize(
    ("pause", "rest"), [(5, 0.0), (8, 0.0), *((pause, rest) for pause in (15, 30, 45) for rest in (0.0, 0.05, 0.5))]
)
def test_the_end_of_a_pause_is_no_surge(pause: int, rest: float, every: int) -> None:
    """Traffic that was elsewhere for a while, all of it or a part, and comes back as it was."""
    rates = [1000.0] * 303 + [rest * 1000.0] * pause + [1000.0] * 60
    assert max(_surges(rates, every)) == 0.0


@pytest.mark.parametrize("pause", [120, 300, 700])
def test_the_end_of_a_long_silence_is_no_surge(pause: int) -> None:
    """What is remembered does not matter where there was nothing."""
    assert max(_surges([1000.0] * 303 + [0.0] * pause + [1000.0] * 60)) == 0.0


def test_a_climb_beyond_what_was_there_before_a_pause_is_a_surge() -> None:
    """A crowd that comes half a minute after a pause is seen as one that comes without it."""
    crowd = [1000.0 + 100.0 * second for second in range(40)]
    plain = _surges([1000.0] * 400 + crowd)
    paused = _surges([1000.0] * 300 + [0.0] * 60 + [1000.0] * 40 + crowd)
    assert plain[-20:] == pytest.approx(paused[-20:])
    assert plain[-1] > 100


def test_a_hole_in_the_readings_is_no_silence_after_which_the_load_climbs() -> None:
    """No worker lived for 90 s, so the sums stood still; what comes then climbs from what nobody saw."""
    meter, found = Meter(OBJECTIVE), []
    for second in range(400):
        at = second + (90.0 if second > 300 else 0.0)
        found.append(meter.observe(replace(reading(float(second)), at=at), at).surge_slots)
    assert max(found) == 0.0


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


def _long(
    counts: list[int], service: float, *, in_flight: float = 0.0, queued: float = 0.0
) -> tuple[Signals, list[float]]:
    """The signals after seconds with so many arrivals, each of which takes so long; and the loads on the way."""
    meter, arrived, steps, loads = Meter(OBJECTIVE), 0.0, 0.0, []
    ended = [0.0] * (int(service) + 1) + [float(sum(counts[: at + 1])) for at in range(len(counts))]
    held = 0.0
    for second, count in enumerate(counts, 1):
        steps += (count - counts[second - 2]) ** 2 if second > 1 else 0.0
        arrived += count
        done = ended[second]
        held += arrived - done
        seen = Reading(
            at=float(second),
            first_tries=arrived,
            dispatched=arrived,
            good=done,
            finished=done,
            service_time=service * done,
            service_squares=service * service * done,
            arrival_steps=steps,
            in_flight_time=held,
            in_flight=in_flight,
            queued=queued,
            limit=16.0,
            replicas=Replicas(ready=2, desired=2),
        )
        known = meter.observe(seen, seen.at)
        loads.append(known.load_slots)
    return known, loads


def test_a_burst_counts_for_no_more_slots_than_it_has_requests() -> None:
    """A hundred requests of 20 s within five seconds hold a hundred slots, not two hundred."""
    known, loads = _long([0] * 300 + [2] * 300 + [20] * 5 + [2] * 60, 20.0)
    assert max(loads[610:]) <= (2 * 20 + 18 * 5) * 1.1
    assert known.load_slots == pytest.approx(40.0, rel=0.05)


def test_what_is_in_flight_sees_arrivals_over_a_service_time() -> None:
    """Nine requests every three seconds are bursts for services of half a second, and none for those of 20 s."""
    batches = [9, 0, 0] * 300
    short, _ = _long(batches, 0.5)
    long, _ = _long(batches, 20.0)
    poissonian, _ = _long([poisson(3.0, rng) for rng in [Random(5)] for _ in range(900)], 20.0)
    assert short.arrival_cv2 == long.arrival_cv2 > 5
    assert long.load_slots == pytest.approx(60.0, rel=0.1)
    assert 0 < long.spare_slots < poissonian.spare_slots
    assert poissonian.spare_slots < 3 * sqrt(60)


@pytest.mark.parametrize("service", [2, 20, 60])
def test_who_waits_for_a_long_service_is_not_counted_twice(service: int) -> None:
    """Arrivals of the last service time are the load, those of them that wait included."""
    known, _ = _long([4] * 900, float(service), in_flight=3.0 * service, queued=1.0 * service)
    assert known.load_slots == pytest.approx(4 * service, rel=0.05)
    assert known.backlog_slots == pytest.approx(0.0, abs=0.2 * service)
    known, _ = _long([4] * 900, float(service), in_flight=4.0 * service, queued=30.0)
    assert known.backlog_slots == pytest.approx(30.0, abs=0.2 * service)


def test_the_dispersion_of_a_window_is_that_of_its_counts() -> None:
    """Poisson's law has 1 at any width, batches have their size in narrow windows and nothing in wide ones."""
    rng, history, batches = Random(2), History(), History()
    count = batch = 0.0
    for second in range(1, 601):
        count += poisson(5.0, rng)
        batch += 50.0 if second % 10 == 0 else 0.0
        history.add(Reading(at=float(second), first_tries=count))
        batches.add(Reading(at=float(second), first_tries=batch))
    for width in (5.0, 20.0):
        assert history.dispersion(width) == pytest.approx(1.0, abs=0.5)
    assert (batches.dispersion(30.0) or 9.0) < 0.5
    assert (batches.dispersion(5.0) or 0.0) > 5
    assert history.dispersion(300.0) is None
    assert History().dispersion(1.0) is None


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
