"""May it enter, and when? A limit on what is in flight, and a queue for what is not admitted at once.

One gate stands before one upstream. Everything happens in the call that asks for it: a request is admitted,
queued or shed; one that ends frees its place for the next. The gate waits for nothing and reads no clock,
so the same object runs in the gateway and in a simulation.

*Prediction.* With a drain rate of X requests a second and n requests ahead, a newcomer waits about n / X.
What cannot be answered before its deadline is refused on arrival, and judged
again when its turn comes.

*How long a standing queue may make anybody wait* follows from the upstream alone: as long as one request takes,
or as long as ``ENOUGH`` requests take to drain, whichever is longer. Below that the upstream would run dry now
and then (with Poisson arrivals, with probability e^-ENOUGH a departure); above it, waiting is only delay.

*Patience* (:mod:`gateway.admission.patience`). That rule is for overload that is known to be one. While the limit is
not proven, or no more than a crowd waits, nobody is shed before the longest wait, which is in proportion to what the
upstream takes; while nothing is known it has no end but the deadline of the request.

*Suspension.* While no endpoint serves and one is coming, nothing is admitted: requests wait, and one whose deadline
lies before the expected first answer is refused on arrival. The time until then is not held against those who wait.

*When to come back*: when what waits has drained, and while the overload lasts, after as long as it has lasted already
(:mod:`gateway.admission.overload`).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.admission.limits.limit import Stage
from gateway.admission.overload import LONGEST, Overload
from gateway.admission.patience import Patience, longest_wait
from gateway.admission.sample import Change
from gateway.core.outcome import NEUTRAL, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.hope import Hope
    from gateway.admission.limits.limit import Limit
    from gateway.admission.queue import Queue
    from gateway.admission.sample import Sample
    from gateway.admission.ticket import Ticket

ENOUGH: Final = 8.0
LAST_BAND: Final = 7
# An event loop under load is some milliseconds late by itself; a wait shorter than that says nothing.
_SHORTEST_TARGET: Final = 0.025
# Weight of one window of drained requests in the drain rate, and the length of that window in seconds.
_RATE_WEIGHT: Final = 0.3
_RATE_WINDOW: Final = 0.25
_LATENCY_WEIGHT: Final = 0.02
# A request with less time left than this part of a usual answer would be answered too late nearly always.
_HOPE: Final = 0.25


class Refusal(NamedTuple):
    """Why a request was not admitted, with the numbers behind it; ``retry_after`` in seconds."""

    reason: str
    observed: float
    allowed: float
    retry_after: float


class Gate:
    """Admits, queues and sheds for one upstream. ``in_flight`` were admitted and have not finished.

    ``bar`` is asked before each admission while something else counts places too (a breaker that tries the upstream
    again); None mostly.
    Classes of bands above ``last_band`` may not wait; the gateway lowers it to protect itself.
    ``hope`` is the capacity that is coming; None mostly.
    ``streams`` gave their place back before their end; at most ``max_streams`` may, None: any number.
    ``suspended_until`` is the instant at which an endpoint is expected to serve; None while one does.
    """

    __slots__ = (
        "_drained",
        "_drained_since",
        "_is_admitting",
        "_overload",
        "_patience",
        "bar",
        "changes",
        "hope",
        "in_flight",
        "last_band",
        "latency",
        "limit",
        "max_streams",
        "queue",
        "rate",
        "streams",
        "suspended_until",
    )

    def __init__(self, limit: Limit, queue: Queue) -> None:
        self.limit = limit
        self.queue = queue
        self.in_flight = 0
        self.bar: Callable[[float], bool] | None = None
        self.last_band = LAST_BAND
        self.hope: Hope | None = None
        self.suspended_until: float | None = None
        self.streams = 0
        self.max_streams: int | None = None
        self.changes: dict[str, int] = {}
        self.rate = 0.0
        self.latency = 0.0
        self._drained = 0
        self._drained_since = 0.0
        self._is_admitting = False
        self._overload = Overload()
        self._patience = Patience()

    def try_admit(self, now: float, kind: str = "") -> bool:
        """Admit at once, if nobody waits and the limit allows; costs no ticket. ``kind`` is as in the sample."""
        if self.in_flight < self.limit.value and not self.queue.count and (self.bar is None or self.bar(now)):
            self.in_flight += 1
            watch = self.limit.watch
            if watch is not None:
                watch.n = self.in_flight
                if now >= watch.due:
                    watch.begin(now, self.in_flight, kind)
            return True
        if self.bar is None or self.in_flight >= self.limit.value:  # else it is a breaker that holds back
            before = self.limit.value
            self.limit.held_back(now)
            if self.limit.value > before:
                self.note(Change(self.limit.value, "arrivals"))
                self.admit_waiting(now)
                return not self.queue.count and self.in_flight < self.limit.value and self.try_admit(now, kind)
        return False

    def enqueue(self, ticket: Ticket, now: float) -> Refusal | None:
        """Let a request wait that :meth:`try_admit` did not take; None when it does, else why it may not."""
        queue = self.queue
        if ticket.traffic_class.band > self.last_band:
            return Refusal("self_protection", ticket.traffic_class.band, self.last_band, self._tell(now))
        queue.expire(now)
        ahead = queue.ahead_of(ticket, now)
        if self.suspended_until is not None:
            refusal = self._judge_suspended(ticket, ahead, now)
            if refusal is not None:
                return refusal
        # While the limit is open the rate is what was asked for, and says nothing of how long a wait would be.
        elif (
            ahead and self.limit.stage is not Stage.OPEN
        ):  # whoever is next is never refused: if the rate is wrong, it is by waiting that we learn better
            wait = self.predict(ahead) if self.hope is None else self.hope.wait(ahead + 1, self.rate, now)
            if now + wait + self.latency / 2 > ticket.deadline:
                needed = wait + self.latency / 2
                return Refusal("deadline_unreachable", needed, max(ticket.deadline - now, 0.0), self._tell(now))
        if not queue.count:
            # Only the time in which somebody waits counts: what drains in it is all that the upstream can do.
            self._drained = 0
            self._drained_since = now
        reason = queue.push(ticket, now)
        if reason:
            self._patience.wait()
            return Refusal(reason, *queue.filling(ticket, reason), self._tell(now))
        self._patience.wait()
        self._bear()
        return None

    def let_pass(self) -> Refusal | None:
        """Admit beyond the limit, and say what speaks against it; only where the limit is in shadow, else None."""
        return None

    def keep_aside(self, ticket: Ticket, reason: str) -> bool:  # noqa: ARG002 - a queue in shadow asks
        """Let somebody wait on who was to be shed; only where the queue is in shadow."""
        return False

    def finish(self, sample: Sample, now: float) -> None:
        """A request that was admitted has ended, however; its place goes to whoever is next."""
        self.in_flight -= 1
        outcome = sample.outcome
        if outcome is SUCCESS:
            latency = self.latency
            took = sample.answered_at - sample.admitted_at
            self.latency = latency + _LATENCY_WEIGHT * (took - latency) if latency else took
        if outcome is NEUTRAL and sample.answered_at < now:
            # an answer that had begun when its client left was no silence of the upstream, and shows nothing else
            watch = self.limit.watch
            if watch is not None:
                watch.forget(sample)
        else:
            change = self.limit.update(sample)
            if change is not None:
                self.note(change)
        if self._patience.backlog:
            self._patience.end()
        if self.queue.count:
            self._drained += 1
            self._measure_rate(now)
            self.admit_waiting(now)

    def let_go(self, sample: Sample, now: float) -> bool:
        """Take the place of a stream back before its end, and learn nothing from it.

        It counts as a stream until :meth:`end_stream`, and is not to be finished. False when as many as may have let
        go: it keeps its place, and is finished like any other.
        """
        if self.max_streams is not None and self.streams >= self.max_streams:
            return False
        self.streams += 1
        self.in_flight -= 1
        watch = self.limit.watch
        if watch is not None:
            watch.forget(sample)
        self.admit_waiting(now)
        return True

    def take_back(self, now: float, kind: str) -> None:
        """A request that had let its place go is work again, whether there is room for it or not."""
        self.streams -= 1
        self.in_flight += 1
        watch = self.limit.watch
        if watch is not None:
            watch.begin(now, self.in_flight, kind)

    def end_stream(self) -> None:
        """A stream that has let its place go is over; nothing is learned and nobody is admitted for it."""
        self.streams -= 1

    def note(self, change: Change) -> None:
        """Count a move of the limit."""
        self.changes[change.reason] = self.changes.get(change.reason, 0) + 1

    def admit_waiting(self, now: float) -> None:
        """Admit as many as the limit allows; called when something ended, and when the limit has grown."""
        if self._is_admitting:
            return  # somebody admitted just now has already ended; the loop below goes on, without a deeper stack
        queue = self.queue
        self._is_admitting = True
        try:
            while queue.count and self.in_flight < self.limit.value and (self.bar is None or self.bar(now)):
                ticket = queue.pop(now)
                if ticket is None:
                    return
                if now + self.latency * _HOPE > ticket.deadline:
                    ticket.on_shed("deadline_unreachable", now)
                    continue
                self.in_flight += 1
                watch = self.limit.watch
                if watch is not None:
                    watch.begin(now, self.in_flight, ticket.kind)
                ticket.on_admitted(now)
        finally:
            self._is_admitting = False

    def shed_waiting(self, reason: str, now: float) -> None:
        """Turn away all who wait: what they wait for will not come."""
        queue = self.queue
        while queue.count:
            ticket = queue.pop(now)
            if ticket is not None:
                ticket.on_shed(reason, now)

    def refusal(self, reason: str, ticket: Ticket, now: float) -> Refusal:
        """The numbers behind a place in the queue that was taken away after a wait."""
        if reason == "deadline_unreachable":
            observed, allowed = self.latency, max(ticket.deadline - now, 0.0)
        elif reason == "evicted":
            observed, allowed = self.queue.filling(ticket, reason)
        else:
            observed, allowed = now - ticket.arrived_at, self.queue.allowed_wait(reason)
        return Refusal(reason, observed, allowed, self._tell(now))

    def expect(self, hope: Hope | None, now: float) -> None:
        """So much capacity is coming; None: it has come, or is not coming any more. Who waits already may wait on."""
        self.hope = hope
        self.queue.hold(inf if hope is None else hope.at, now)

    def suspend(self, until: float) -> None:
        """No endpoint serves; one is expected to from the instant ``until`` on, which may be past or change."""
        self.suspended_until = until
        self._bear()

    def resume(self, now: float) -> None:
        """An endpoint serves: the wait of those who are here counts from now on."""
        self.suspended_until = None
        self._drained = 0
        self._drained_since = now
        self.queue.excuse(now)
        self._bear()
        self.admit_waiting(now)

    def _judge_suspended(self, ticket: Ticket, ahead: int, now: float) -> Refusal | None:
        """Refuse a request that would be answered too late, though an endpoint comes when it is expected."""
        comes_in = max((self.suspended_until or now) - now, 0.0)
        wait = 0.0 if self.limit.stage is Stage.OPEN or not ahead else self.predict(ahead)
        needed = comes_in + wait + self.latency / 2
        left = min(ticket.deadline - now, self.queue.allowed_wait("queue_timeout"))
        return Refusal("deadline_unreachable", needed, max(left, 0.0), comes_in) if needed > left else None

    def waiting(self) -> dict[str, int]:
        """How many wait, by class."""
        return self.queue.waiting()

    @property
    def waiting_size(self) -> int:
        """Bytes of those who wait."""
        return self.queue.size

    def oldest(self) -> float | None:
        """The arrival of whoever has waited longest; None when nobody waits."""
        return self.queue.oldest()

    def leave(self, ticket: Ticket, now: float) -> None:
        """A waiting client has gone."""
        self.queue.leave(ticket, now)

    def tick(self, now: float) -> None:
        """Shed whoever has waited too long; to be called a few times in the queue's target."""
        if self.queue.count:
            self._bear()
            self.queue.look_again(now)
            self.queue.expire(now)
            self.admit_waiting(now)

    def predict(self, ahead: int) -> float:
        """How long somebody with this many ahead would wait, in seconds; 0 while nothing is known."""
        return (ahead + 1) / self.rate if self.rate else 0.0

    def retry_after(self) -> float:
        """When room is likely: the time in which what waits now drains, in seconds, at least one latency."""
        return min(max(self.predict(self.queue.count), self.latency), LONGEST)

    def _tell(self, now: float) -> float:
        """The same for somebody who is refused: an overload that has lasted is expected to go on."""
        if self.suspended_until is not None:
            return min(max(self.suspended_until - now, self.retry_after()), LONGEST)
        lasting = self._overload.refuse(now)
        # capacity that is coming ends an overload, however long that has lasted
        return min(max(self.retry_after(), lasting if self.hope is None else self.hope.at - now), LONGEST)

    def _bear(self) -> None:
        """Be as patient as what is known of the upstream asks for."""
        if self.suspended_until is not None:
            self.queue.be_patient(inf, 0.0, is_patient=True)
            return
        stage = self.limit.stage
        latency = self.limit.latency or self.latency
        self.queue.be_patient(longest_wait(stage, latency), self.rate, is_patient=self._patience.is_kept(stage))

    def _measure_rate(self, now: float) -> None:
        elapsed = now - self._drained_since
        if elapsed < _RATE_WINDOW:
            return
        rate = self._drained / elapsed
        self.rate = rate if not self.rate else self.rate + _RATE_WEIGHT * (rate - self.rate)
        self.queue.target = max(_SHORTEST_TARGET, self.latency, ENOUGH / self.rate)
        self._drained = 0
        self._drained_since = now

    def __repr__(self) -> str:
        return f"<Gate in_flight={self.in_flight}/{self.limit.value} queued={self.queue.count}>"
