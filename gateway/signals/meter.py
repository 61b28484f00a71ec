"""From readings to signals, tick by tick, for one target."""

from __future__ import annotations

from math import hypot, inf, isfinite, sqrt
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.histogram import LATENCY_BOUNDS
from gateway.signals.growth import Growth
from gateway.signals.history import KEPT, SPACING, History
from gateway.signals.reading import DELAY_BOUNDS
from gateway.signals.signals import Signals
from gateway.signals.slots import ReplicaSlots
from gateway.signals.staffing import backlog_slots, spare_slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.signals.reading import Reading

INVALID_AFTER: Final = 30.0
"""Seconds after which a signal says nothing about the present."""
LONGEST: Final = 3600.0
"""What a time that may be without end is capped to, in seconds."""
FAST: Final = 10.0
"""The window of the arrival rate, in seconds: two ticks of five."""
MIDDLE: Final = 60.0
SLOW: Final = 600.0
HEADROOM: Final = 0.25
"""Of the load, at least so much is in ``demand_slots`` beside it: an autoscaler with Kubernetes' tolerance of a tenth
would else stay below what is needed (kubernetes#116984). With a fifth HPAs were cheaper, and on noisy days short."""
USUAL: Final = 0.25
"""Of the load, at most so much usual growth is in ``demand_slots``, for a surge is remembered for ten minutes."""
NOISE: Final = 2.0
"""Standard deviations of a count that chance alone may explain."""
PAUSE: Final = 4.0
"""Seconds without an arrival that may be a pause of the traffic."""
EXPECTED: Final = 10.0
"""Arrivals that would have come in a pause, per unit of their dispersion; with fewer a gap is chance (e⁻¹⁰)."""
UNSEEN: Final = 15.0
"""Seconds between two readings after which the mean between them says nothing of the present."""
_SHORT: Final = 0.5
"""Seconds; of a shorter service the arrivals of single seconds say what must be known."""
_WIDEST: Final = 30.0
"""Seconds; ten minutes have too few wider windows."""
_EVERY: Final = 10.0
_MINUTES: Final = 30.0
"""Seconds of service from which on the window of the load is longer than a service, in proportion: a burst is over
before a replica that is asked for now can serve, and its short services are as well."""
_LONGEST_WINDOW: Final = 120.0
_INSTANT: Final = 5.0
_ENOUGH: Final = 50
_ENOUGH_LONG: Final = 400
"""Answers after more than ten seconds each: an error of a tenth in their mean is many slots."""
_MOST: Final = 1e12
_HEALTHY_BURN: Final = 1.0
_FAILING: Final = 0.1


class Objective(Struct, frozen=True):
    """What the numbers are judged by."""

    wait: float = 0.25
    """A longer queue delay is a violation, in seconds."""
    objective: float = 0.999
    """The share of requests that must be good, in (0, 1)."""
    drain: float = 1.0
    """Seconds in which a queue should be gone."""
    cold_start: float = 30.0
    """Seconds from intent to ready, until one was measured."""
    slots: float = 1.0
    """Slots of one replica until a limit says more."""
    replica_hour: float = 0.0
    """The price of one replica for one hour."""


class Meter:
    """Keeps the history of one target; ``observe`` makes its signals."""

    __slots__ = (
        "_arrived",
        "_arrived_at",
        "_changed_at",
        "_dispersed_at",
        "_dispersion",
        "_flow",
        "_growth",
        "_history",
        "_is_steady",
        "_known",
        "_marks",
        "_objective",
        "_read_at",
        "_seen_at",
        "_seq",
        "_slots",
    )

    def __init__(self, objective: Objective | None = None) -> None:
        self._objective = objective or Objective()
        self._history = History()
        self._growth = Growth()
        self._slots = ReplicaSlots(self._objective.slots)
        self._seq = 0
        self._known: Signals | None = None
        self._seen_at: float | None = None
        self._marks: tuple[object, ...] = ()
        self._arrived = -1.0
        self._flow = 0.0
        self._dispersed_at = -inf
        self._dispersion: float | None = None
        self._arrived_at = self._read_at = -inf
        self._changed_at = 0.0
        self._is_steady = False

    def observe(self, reading: Reading | None, now: float) -> Signals:
        """The signals of this tick; without a reading that says something, the last ones with their age.

        Before anything was ever known the age is 3600 s and nothing is valid.
        """
        self._seq += 1
        self._is_steady = False
        if reading is not None and reading.has_data and _is_sound(reading):
            if self._history.add(reading):
                self._growth = Growth()  # no change since a time that was not seen is one that was seen
            self._note_pause(reading)
            self._seen_at = reading.at - reading.age
            known = self._known
            if known is None or not self._is_still(reading) or not self._is_known_still(reading, known):
                self._known = found = self._measure(now)
                return found
            if known.gateway_strain != reading.gateway_strain:
                self._known = replace(known, gateway_strain=reading.gateway_strain)
            self._is_steady = self._growth.is_flat
        return self._again(now)

    @property
    def is_steady(self) -> bool:
        """Whether the next signals will be the last ones, however long nothing happens."""
        return self._is_steady

    def rest(self, at: float, now: float, ticks: int = 1, strain: float | None = None) -> Signals:
        """The signals after so many ticks at which nothing was said but that all was still so at the instant ``at``.

        ``strain`` is the gateway's own, where it is known.
        """
        self._seq += ticks
        self._seen_at = at
        if self._known is not None and strain is not None and strain != self._known.gateway_strain:
            self._known = replace(self._known, gateway_strain=strain)
        return self._again(now)

    def wake(self, at: float) -> None:
        """What comes next came after the instant ``at``; until then all was as it was last."""
        self._history.hold(at)
        self._read_at = max(self._read_at, at)
        self._growth.hold(at)

    def _again(self, now: float) -> Signals:
        """What is known, with its age."""
        age = self._age(now)
        return replace(
            self._known or Signals(at=now),
            at=now,
            seq=self._seq,
            signal_age_s=age,
            signal_valid=int(age <= INVALID_AFTER),
            history_s=self._history.span_until(self._seen_at),
        )

    @property
    def knows_slots(self) -> bool:
        """Whether K was learned from a limit, and is not what the settings gave."""
        return self._slots.is_learned

    def _age(self, now: float) -> float:
        return LONGEST if self._seen_at is None else min(max(now - self._seen_at, 0.0), LONGEST)

    def _note_pause(self, reading: Reading) -> None:
        """What the load grows by is measured anew after a start and after a pause: a climb from nothing is no surge."""
        arrived = reading.first_tries + reading.retries
        if arrived != self._arrived:
            silent = self._read_at - self._arrived_at
            is_pause = silent >= PAUSE and (silent >= MIDDLE or silent * self._flow >= EXPECTED)
            is_gap = reading.at - self._read_at > UNSEEN
            if self._arrived <= 0 or arrived < self._arrived or is_pause or is_gap:
                self._growth.restart(reading.at + FAST + SPACING)
            self._arrived, self._arrived_at = arrived, reading.at
            known = self._known
            self._flow = 0.0 if known is None else known.offered_rps / max(known.arrival_cv2, 1.0)
        self._read_at = reading.at

    def _is_still(self, reading: Reading) -> bool:
        """Whether nothing has happened for longer than any window is: then every mean is what it was.

        Most of many upstreams sleep most of the time, and should cost next to nothing.
        """
        marks = _marks(reading)
        if marks != self._marks:
            self._marks = marks
            # who was never asked anything has no means over time
            self._changed_at = reading.at if any(_sums(reading)) else -inf
            return False
        is_empty = not (reading.in_flight or reading.queued)
        return is_empty and reading.at - self._changed_at > KEPT

    def _is_known_still(self, reading: Reading, known: Signals) -> bool:
        """Let what has a memory of its own live on; whether it comes to what is known."""
        growth, surge = self._growth.update(known.load_slots, known.cold_start_p90_s + FAST, reading.at)
        return (growth, surge) == (known.growth_slots, known.surge_slots)

    def _measure(self, now: float) -> Signals:
        history, objective = self._history, self._objective
        last = history.last
        fast, middle, slow = history.back(FAST), history.back(MIDDLE), history.back(SLOW)
        burn_5, burn_60, burn_600 = self._burn(history.back(_INSTANT)), self._burn(middle), self._burn(slow)
        replicas = last.replicas
        seconds = last.at - fast.at
        arrived = last.first_tries + last.retries - fast.first_tries - fast.retries
        offered = arrived / seconds if seconds else 0.0
        failed = _rate(last.failed, fast.failed, seconds)
        # what answered nothing has not shown that it is well
        is_healthy = last.good > middle.good and not last.is_breaker_open
        is_healthy = is_healthy and burn_60 <= _HEALTHY_BURN and failed <= _FAILING * offered
        slots = self._slots.learn(_found(last), replicas.ready, is_healthy=is_healthy, now=last.at)
        service, service_cv2 = _service(last, middle, slow)
        arrival_cv2 = _arrival_cv2(last, slow)
        # over less than a service time a burst would count for slots that nothing holds
        width = max(FAST, min(service * max(service / _MINUTES, 1.0), _LONGEST_WINDOW))
        recent = fast if width == FAST else history.back(width)
        usual = middle if width < MIDDLE else history.back(2.0 * width)
        load = _settled(last, recent, usual, arrival_cv2) * service + last.held
        cold = sorted(last.cold_starts)
        cold_p90 = cold[int(0.9 * (len(cold) - 1) + 0.5)] if cold else objective.cold_start
        noise = service * sqrt(2 * max(arrival_cv2, 1.0) * offered / seconds) if seconds else 0.0
        growth, surge = self._growth.update(load, cold_p90 + FAST, last.at, noise, width / FAST)
        spare = spare_slots(
            load,
            objective.wait / service if service > 0 else 0.0,
            1.0 - objective.objective,
            self._variability(service, arrival_cv2, service_cv2),
        )
        demand = load + max(hypot(spare, max(min(growth, USUAL * load), surge)), HEADROOM * load)
        backlog = backlog_slots(last.queued, service, objective.drain)
        if service > objective.drain:
            # who waits came within the window that the load is of, so it counts already but for what is beyond it
            backlog = min(backlog, max(last.in_flight + last.queued - load, 0.0))
        ready = slots * replicas.ready
        coming = slots * (replicas.ready + replicas.warming)
        idle = ready - load
        p50, p95, p99 = _quantiles(last.delays, fast.delays, DELAY_BOUNDS)
        admitted = _rate(last.dispatched, fast.dispatched, seconds)
        goodput = _rate(last.good, fast.good, seconds)
        cost = objective.replica_hour * (replicas.ready + replicas.warming + replicas.standby + replicas.draining)
        earlier = last.at - middle.at
        slope = 0.0
        if earlier > seconds > 0:
            before = (fast.first_tries + fast.retries - middle.first_tries - middle.retries) / (earlier - seconds)
            slope = (offered - before) * service / (earlier / 2)
        age = self._age(now)
        return Signals(
            at=now,
            seq=self._seq,
            signal_age_s=age,
            signal_valid=int(age <= INVALID_AFTER),
            history_s=history.span,
            offered_rps=offered,
            first_tries_rps=_rate(last.first_tries, fast.first_tries, seconds),
            retries_rps=_rate(last.retries, fast.retries, seconds),
            admitted_rps=admitted,
            goodput_rps=goodput,
            failed_rps=failed,
            shed_rps={reason: _rate(count, fast.shed.get(reason, 0.0), seconds) for reason, count in last.shed.items()},
            inflight=_rate(last.in_flight_time, fast.in_flight_time, seconds),
            streams=last.streams,
            queued=last.queued,
            queued_bytes=last.queued_bytes,
            oldest_age_s=last.oldest_age,
            queue_delay_p50_s=p50,
            queue_delay_p95_s=p95,
            queue_delay_p99_s=p99,
            service_time_s=service,
            service_time_p95_s=_quantiles(last.services, middle.services, LATENCY_BOUNDS)[1],
            service_time_cv2=service_cv2,
            arrival_cv2=arrival_cv2,
            slots_per_replica=slots,
            limit=last.limit,
            replicas=replicas,
            utilization=min(max(last.in_flight - last.streams + last.held, 0.0) / ready, 1.0) if ready > 0 else 0.0,
            load_slots=load,
            spare_slots=spare,
            growth_slots=growth,
            surge_slots=surge,
            demand_slots=demand,
            backlog_slots=backlog,
            wanted_slots=demand + backlog,
            # without any slot, one slot is what the demand is compared with: large, and finite
            pressure=min((demand + backlog) / (coming or 1.0), _MOST),
            time_to_drain_s=_time(last.queued * service, idle),
            headroom_rps=max(idle, 0.0) / service if service > 0 else 0.0,
            time_to_saturation_s=0.0 if idle <= 0 else _time(idle, slope),
            slo_burn_5s=burn_5,
            slo_burn_60s=burn_60,
            slo_burn_600s=burn_600,
            error_budget_left=max(0.0, 1.0 - burn_600),
            breaker_open=int(last.is_breaker_open),
            cold_start_p50_s=cold[len(cold) // 2] if cold else objective.cold_start,
            cold_start_p90_s=cold_p90,
            cost_rate=cost,
            cost_per_1k=cost / (goodput * 3.6) if goodput > 0 else 0.0,
            gateway_strain=last.gateway_strain,
        )

    def _variability(self, service: float, arrival_cv2: float, service_cv2: float) -> float:
        """(ca² + cs²) ÷ 2 for what waits; for what is in flight, where a service is longer than anybody may wait.

        The number in flight sees arrivals over a service time, so their dispersion is that of such windows (Eckberg
        1983, *Generalized peakedness of teletraffic processes*). By Poisson's law its variance is its mean whatever the
        services are (M/G/∞), so theirs count as exponential at most.
        """
        if service <= max(self._objective.wait, _SHORT):
            return (arrival_cv2 + service_cv2) / 2
        at = self._history.last.at
        if at - self._dispersed_at >= _EVERY:
            self._dispersed_at = at
            self._dispersion = self._history.dispersion(min(service, _WIDEST))
        return ((arrival_cv2 if self._dispersion is None else self._dispersion) + min(service_cv2, 1.0)) / 2

    def _burn(self, since: Reading) -> float:
        """(bad ÷ total) ÷ (1 - objective) since a reading; 0 without traffic."""
        last = self._history.last
        bad = last.bad - since.bad
        total = bad + last.good - since.good
        return bad / total / (1.0 - self._objective.objective) if total > 0 else 0.0


def _found(reading: Reading) -> float:
    """The limit as far as it was found out; 0 where it was not."""
    return 0.0 if reading.is_limit_guessed else reading.limit


def _arrived(reading: Reading) -> float:
    return reading.first_tries + reading.retries


def _rate(last: float, before: float, seconds: float) -> float:
    return (last - before) / seconds if seconds > 0 else 0.0


def _time(amount: float, speed: float) -> float:
    if amount <= 0:
        return 0.0
    return min(amount / speed, LONGEST) if speed > 0 else LONGEST


def _service(last: Reading, middle: Reading, slow: Reading) -> tuple[float, float]:
    """The mean service time and cs², from a minute or, with few answers, from ten.

    Requests that are still running are missing among the finished, the longest ones most. Little's law has them:
    the time integral of what is in flight ÷ what was dispatched is S as well, so the larger of both counts.
    """
    finished = last.finished - middle.finished
    is_long = last.service_time - middle.service_time > FAST * finished
    since = middle if finished >= (_ENOUGH_LONG if is_long else _ENOUGH) else slow
    finished = last.finished - since.finished
    mean = (last.service_time - since.service_time) / max(finished, 1.0) if finished > 0 else 0.0
    dispatched = last.dispatched - since.dispatched
    if dispatched > 0:
        mean = max(mean, (last.in_flight_time - since.in_flight_time) / max(dispatched, 1.0))
    finished = last.finished - slow.finished
    if finished < _ENOUGH:
        return mean, 1.0
    first = (last.service_time - slow.service_time) / finished
    second = (last.service_squares - slow.service_squares) / finished
    square = first * first  # 0 also when it is too small for a float
    return mean, max(second / square - 1.0, 0.0) if square > 0 else 1.0


def _settled(last: Reading, recent: Reading, middle: Reading, arrival_cv2: float) -> float:
    """The rate of the wide window, unless that of the recent window differs by more than chance: then that."""
    seconds = last.at - recent.at
    fast = _rate(_arrived(last), _arrived(recent), seconds)
    rate = _rate(_arrived(last), _arrived(middle), last.at - middle.at)
    chance = NOISE * sqrt(max(arrival_cv2, 1.0) * rate / seconds) if seconds > 0 else 0.0
    return rate if abs(fast - rate) <= chance else fast


def _arrival_cv2(last: Reading, slow: Reading) -> float:
    """ca² as the dispersion of counts of a second, from differences of neighbours (von Neumann 1941).

    Half the mean squared difference is the variance, and a slow change of the rate adds next to nothing to it. Which
    worker an arrival comes to is chance, and thinning brings counts nearer to Poisson's law: of a dispersion D a worker
    with the share p sees 1 + p·(D - 1) (Cox & Isham 1980, *Point Processes*, §4.3).
    """
    arrived = last.first_tries + last.retries - slow.first_tries - slow.retries
    if arrived < _ENOUGH:
        return 1.0
    seen = (last.arrival_steps - slow.arrival_steps) / (2.0 * arrived)
    return max(1.0 + last.split * (seen - 1.0), 0.0)


def _quantiles(last: Sequence[float], before: Sequence[float], bounds: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99 as the upper ends of their buckets; above the last bound, the last bound."""
    if not last:
        return 0.0, 0.0, 0.0
    total = sum(last) - sum(before)
    if total <= 0:
        return 0.0, 0.0, 0.0
    if last[0] - (before[0] if before else 0.0) >= 0.99 * total:
        return bounds[0], bounds[0], bounds[0]
    counts = [one - other for one, other in zip(last, before or (0.0,) * len(last), strict=True)]
    found: list[float] = []
    passed, wanted = 0.0, [0.5 * total, 0.95 * total, 0.99 * total]
    for bucket, count in enumerate(counts):
        passed += count
        while len(found) < len(wanted) and passed >= wanted[len(found)]:
            found.append(bounds[min(bucket, len(bounds) - 1)])
    while len(found) < len(wanted):
        found.append(bounds[-1])
    return found[0], found[1], found[2]


def _marks(reading: Reading) -> tuple[object, ...]:
    """What changes whenever anything is asked, answered, refused or counted."""
    return (
        *_sums(reading),
        reading.limit,
        reading.replicas,
        reading.is_breaker_open,
        reading.cold_starts,
    )


def _sums(reading: Reading) -> tuple[object, ...]:
    return (
        reading.first_tries,
        reading.retries,
        reading.dispatched,
        reading.finished,
        reading.bad,
        reading.shed,
        reading.queued,
        reading.streams,
        reading.held,
    )


def _is_sound(reading: Reading) -> bool:
    """Whether every number that sums go into is finite and not negative."""
    numbers = (
        reading.at,
        reading.first_tries,
        reading.retries,
        reading.dispatched,
        reading.good,
        reading.bad,
        reading.finished,
        reading.service_time,
        reading.service_squares,
        reading.arrival_steps,
        reading.queued,
        reading.in_flight_time,
        reading.limit,
        reading.age,
    )
    return isfinite(sum(numbers)) and min(numbers[1:]) >= 0
