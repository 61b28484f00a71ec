"""PROVEN: the limit that is steered by trials.

Theory of operation
    *What is wanted*: the least limit at which the upstream does all that it can. In letters: L the limit, X
    completions per second, R the latency in the upstream. While L binds, L = X × R (Little 1961). Below the knee
    one more in flight is one more served: X grows, R does not. Above it, one more is one more that
    waits: R grows by 1/X and X stays, or falls when the upstream thrashes. Kleinrock's power X/R has its
    maximum at the knee of a line, and goodput needs a little more: a worker must find somebody waiting.

    *What is seen*: per kind k (route) m_k, the mean of the faster half of the latencies in a window of samples. A
    line before the workers delays the fast and the slow alike, but the fast show it with a sixth of the noise
    of the mean. With b_k what m_k is when nobody waits, w = X × (m - b) requests wait inside the
    upstream. This is Diff × BaseRTT of Vegas (Brakmo & Peterson 1995) on a better statistic.

    *Steering*: w below the target 0.65 + 0.04 L (or what makes a line of 2 ms, if that is more): grow, a tenth at
    first, doubling while it lasts. Above the target by two standard errors: subtract the surplus at once, one at
    least. Otherwise hold, and let windows grow.

    *Trials* keep b honest, because no b can be trusted: learned in congestion it hides the line, and from a
    faster time it invents one. So every move is an experiment. Two limits, each tried for one window, differ by
    Δln L. In a line the upper one gets no more done: Δln X = 0. Below the knee it does: Δln X = Δln L, of which no
    more than 0.35 is asked for, because 30 % less done is proof enough and the knee may lie between the two. The
    evidence of a line is the log likelihood ratio of these two, added up over trials until it decides. *line*: the
    lower limit stays, b may fall. *free*: the upper limit stays, b follows; when the lower one was a cut of a surplus,
    b goes all the way to what was seen there, because the line that was claimed was none. Undecided: back from a cut
    (which is another trial of the same two) or from a trial for its own sake, and again later.

    *Thrash*: e = d ln X / d ln L is learned from all trials. Where it is negative, more in flight get less done, and a
    line that costs something is not to be had: the target is multiplied by 1 + e.

    *Memory*: one window of 60 samples sees X to 13 %, and past the knee of an upstream that thrashes each request
    more costs 5 %. So completions and seconds are summed up by limit, and fade within twenty seconds. D is Δ ln X from
    L to all limits in (L, 1.3 L] together, in standard errors. D < -1.2: what is above gets less done; no growth until
    that has faded. D < -0.5: grow by one at a time. D ≥ 2: what is above gets more done, so what seems to wait at L is
    no line and is not cut. And when all in [0.8 L, L) together got more done by one standard error, one less is tried.
    No trial goes where 1.5 standard errors less are remembered, except upward while nothing seems to wait.
    A window that differs by three standard errors from what its limit got done before is of another service, and so are
    two in a row that differ by two in the same direction: the memory begins anew. A trial that was *free* refutes what
    is above its lower limit.

    *What counts*: X and w say something about L only while L binds. A window in which nobody was held back, or less
    than 0.9 L were in flight in the mean (the first moments of a surge), decides nothing and ends a trial.

    *Which trials*: until one was free (or low load has shown b) they go down from the start value, halving at most,
    and the limit does not grow. Later they go where the evidence points: down while it says line, up while it says
    free. A trial down may cost throughput, so it is paid for: after it, none for so long that 1 % is lost at most.
    There is no dip to a minimum, and no dip at all that a trial up could save.

    *Silence*: requests that end in time-outs, or whose clients leave, say nothing about latency. But when for a
    second, and for as many requests as the limit, nothing else comes, then nobody is served: the limit is halved.

    *Replicas*: who starts and ends them knows that the upstream is k times what it was (:meth:`Steering.rescale`). Each
    of them does what it did, so the knee is at k·L at once, b stays, and what was remembered of other limits goes. A
    limit that never held anybody back has found nothing, and stays.

Why it is so
    Throughput alone decides a trial. The faster half shows a line sooner, but it shows one as well when the
    service itself has become slower, and then confirms the cut that it asked for: a service slowed to 0.375 lost a
    fifth for as long as that lasted. Throughput is the same witness for any kind of upstream. A line of 2 ms is left
    alone: an upstream that answers in microseconds would otherwise be held below what one event loop can keep in
    flight.

What it does not do
    It cannot tell a slower service from a fuller one in less than a few windows; until then it keeps the limit or
    takes a cut back. It does not see below the noise: with exponential service a change of 5 % in capacity takes
    thousands of samples, and past the knee of an upstream that thrashes it loses a few per cent of goodput, because
    it must fall behind by one or two requests before it knows. What it remembers of another service may hold growth
    back for some seconds, when the change was too small to be seen in one window. A service of one slow worker (10
    requests a second) takes it half a minute and more to find from 20, because that is how long a few dozen samples
    take. It does not know deadlines: goodput counts only because the queue in the upstream is short.
"""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING, Final

from gateway.admission.limits.elasticity import Elasticity
from gateway.admission.limits.memory import Memory
from gateway.admission.limits.window import Window
from gateway.admission.sample import Change
from gateway.core.outcome import FAILURE, SUCCESS, Outcome

if TYPE_CHECKING:
    from gateway.admission.sample import Sample

# A window: so many samples, or a turnover of the limit if that is more; or a second (two latencies), with twenty at
# least: with ten, one slow worker was held at five in flight by what its noise seemed to say.
_SAMPLES: Final = 60
_TURNOVERS: Final = 1
_LONGEST: Final = 1.0
_FEWEST: Final = 20
_STRETCH: Final = 8
"""While the limit holds, windows double up to this, and the noise of what they say falls to a third."""

_FULL: Final = 0.9
"""A window in which less than this share of the limit was in flight shows what was offered, not what can be done."""
_TARGET: Final = (0.65, 0.04)
# A line of this length, in seconds, is nothing that a move could win back; an event loop under load adds as much.
_HARMLESS: Final = 0.002
_ERRORS: Final = 2.0
_GROWTH: Final = 0.1
_FASTEST: Final = 8

# What was held up to this share above the limit is what the memory is asked about, in standard errors. With 1.5 for
# the worse, the knee loses one per cent more; with 1, growth after a change loses one.
_REACH: Final = 0.3
_WORSE: Final = -1.2
_LESS: Final = -0.5
_MORE: Final = 2.0
# And what was held down to this share below it: where less in flight got more done, one less is tried.
_REACH_DOWN: Final = 0.2
_BETTER: Final = 1.0
# What is remembered to get less done by this is not tried for its own sake.
_KNOWN_WORSE: Final = -1.5

_STEP: Final = 0.125
_FIRST_STEP: Final = 0.25
# Undecided trials down of an unproven base that prove it all the same.
_UNDECIDED: Final = 2
_DECIDED: Final = 1.3
# One window alone can hardly decide.
_MOST_EVIDENCE: Final = 1.5
# So much of ln X lost is as good as all. With all of a halving asked for, one trial in six took the lower limit for no
# worse when it served a third less, and stayed there.
_TELLING: Final = 0.35
_PAUSE: Final = 2.0
_SHORT_PAUSE: Final = 0.5
_PRICE: Final = 0.01

_FOLLOW: Final = 0.3
_FALL: Final = 0.2
_DRIFT: Final = 0.1
_SILENCE: Final = 1.0
# Both grow with the latency: a window takes two, silence three.
_LONGEST_LATENCIES: Final = 2.0
_SILENT_LATENCIES: Final = 3.0
_FIRST_GROWTH: Final = 4


class Steering:
    """Holds the least limit at which throughput is whole, and knows it by trying.

    ``value`` is in [``min``, ``max``]. It moves only while somebody is held back, except that a trial is ended
    when nobody is any more.
    """

    __slots__ = (
        "_answered_at",
        "_base",
        "_base_factor",
        "_changed_at",
        "_elasticity",
        "_evidence",
        "_growth",
        "_has_bound",
        "_held_at",
        "_is_base_proven",
        "_is_probe",
        "_max",
        "_memory",
        "_min",
        "_next_trial",
        "_paid_until",
        "_settling",
        "_stretch",
        "_suspects_line",
        "_trial",
        "_unanswered",
        "_undecided",
        "_wanted",
        "_window",
        "usual",
        "value",
    )

    def __init__(
        self,
        initial: int = 20,
        min: int = 1,  # noqa: A002 - as in the settings
        max: int = 500,  # noqa: A002 - as in the settings
        *,
        base_factor: float = 1.0,
        is_proven: bool = False,
    ) -> None:
        self.value = initial
        self._min = min
        self._max = max
        self._base: dict[str, float] = {}
        # what the first window of a kind says is this much longer than what it takes alone
        self._base_factor = base_factor
        self._is_base_proven = is_proven
        self._undecided = 0
        self.usual = 0.0
        self._growth = _FIRST_GROWTH
        self._has_bound = False
        self._held_at = -_SILENCE
        self._changed_at = -1.0
        self._answered_at = 0.0
        self._unanswered = 0
        # the trial under way: the window before it, and whether it began for no other reason
        self._trial: Window | None = None
        self._is_probe = False
        self._evidence = 0.0
        self._elasticity = Elasticity()
        self._memory = Memory()
        self._suspects_line = True
        self._next_trial = 0.0
        self._paid_until = 0.0
        # the window under way: what of the change before it is still to pass, and how many samples it wants
        self._window: Window | None = None
        self._stretch = 2
        self._settling = initial
        self._wanted = 2 * _SAMPLES

    def held_back(self, now: float) -> None:
        """Only a limit that somebody runs into moves."""
        self._held_at = now

    def rescale(self, ratio: float, now: float) -> Change | None:
        """The upstream has become ``ratio`` times what it was, above 0; the change when that moved the limit."""
        if not self._has_bound:
            return None
        trial, self._trial = self._trial, None
        limit = trial.limit if trial is not None and self._is_probe else self.value
        self._evidence = 0.0
        self._memory = Memory()
        self._growth = self._stretch = 1
        return self._move(max(round(limit * ratio), 1), "replicas", now)

    def update(self, sample: Sample) -> Change | None:
        """Learn from one finished request."""
        admitted_at, now, in_flight, kind, outcome = sample
        if admitted_at < self._changed_at:
            return None
        if outcome is not SUCCESS:
            change = self._note_failed(outcome, now)
            if change is not None or outcome is not Outcome.TIMEOUT:
                return change
        else:
            self._answered_at = now
            self._unanswered = 0
        if self._settling:
            self._settling -= 1
            return None
        window = self._window
        if window is None:
            self._window = Window(self.value, now)
            return None
        window.add(kind, now - admitted_at, in_flight)
        if outcome is Outcome.TIMEOUT:
            window.timeouts += 1
        elapsed = now - window.opened_at
        if (window.count >= self._wanted and elapsed > 0) or (
            elapsed > _LONGEST and elapsed > _LONGEST_LATENCIES * self.usual and window.count >= _FEWEST
        ):
            window.close(now)
            self.usual = window.mean
            return self._decide(window, now)
        return None

    def _note_failed(self, outcome: Outcome, now: float) -> Change | None:
        """An error is an answer that says nothing about latency; a second without any answer is no stability."""
        if outcome is FAILURE:
            self._answered_at = now
            self._unanswered = 0
            return None
        silence = max(_SILENCE, _SILENT_LATENCIES * self.usual)
        if self._unanswered == 0:
            self._answered_at = max(self._answered_at, now - silence)
        self._unanswered += 1
        is_silent = self._unanswered >= self.value and now - self._answered_at > silence
        if not is_silent or self._held_at < now - silence:
            return None
        self._unanswered = 0
        self._answered_at = now
        return self._move(self.value // 2, "silence", now)

    def _decide(self, window: Window, now: float) -> Change | None:
        """What a closed window means for the limit."""
        trial, self._trial = self._trial, None
        if self._held_at < window.opened_at or window.load < _FULL * window.limit:
            return self._idle(window, trial, now)
        self._has_bound = True
        if window.timeouts * 2 > window.count:
            return self._move(self.value // 2, "timeouts", now)
        self._memory.learn(window, now)
        for kind, (latency, _) in window.halves.items():
            self._base.setdefault(kind, latency * self._base_factor)
        if trial is not None and trial.limit != window.limit:
            self._stretch = min(self._stretch, 2)
            self._weigh(trial, window)
            if self._evidence >= _DECIDED:
                return self._line(trial, window, now)
            if self._evidence <= -_DECIDED:
                return self._free(trial, window, now)
            self._suspects_line = self._evidence > 0
            if self._is_probe or window.limit < trial.limit:
                return self._go_back(trial, window, now)
        return self._steer(window, now)

    def _idle(self, window: Window, trial: Window | None, now: float) -> Change | None:
        """The limit did not bind: nothing to decide, but what low load shows is what requests take alone."""
        self._stretch = 1
        self._follow(window, 0.5, upward=False)
        if window.load < self.value / 2:
            self._follow(window, _DRIFT)
            self._is_base_proven = True
        if self._held_at >= window.opened_at and _is_harmless(window):
            return self._move(2 * self.value, "room", now)  # bursts that wait only for us
        return self._move(trial.limit if trial is not None else self.value, "restore", now)

    def _steer(self, window: Window, now: float) -> Change | None:
        """Grow, cut, try or hold, by how many seem to wait in the upstream."""
        limit = window.limit
        self._follow(window, _FALL, upward=False)
        if _is_harmless(window):
            return self._try(window, 2 * limit, "room", now)  # whatever waits there, nobody notices
        waiting = window.waiting(self._base)
        count = window.rate * waiting.time
        target = max(_TARGET[0] + _TARGET[1] * limit, _HARMLESS * window.rate)
        target *= max(0.0, min(1.0, 1 + self._elasticity.value))
        gain = self._memory.gain(limit, limit + 1, limit + max(1, int(limit * _REACH)))
        fewer = limit
        if count > target + _ERRORS * window.rate * waiting.error and gain < _MORE:
            fewer = max(limit // 2, min(limit - 1, ceil(limit - (count - target))))
        elif self._memory.gain(limit, limit - max(1, int(limit * _REACH_DOWN)), limit - 1) > _BETTER:
            fewer = limit - 1
        if fewer < limit:
            self._growth = self._stretch = 1
            return self._try(window, fewer, "surplus", now)
        if count < target and self._is_base_proven and gain > _WORSE:
            more = min(int(max(1.0, _GROWTH * limit) * self._growth), max(1, limit // 2)) if gain > _LESS else 1
            self._growth = min(self._growth * 2, _FASTEST)
            self._stretch = 1
            return self._try(window, limit + more, "room", now)
        self._growth = 1
        is_due = now >= (max(self._next_trial, self._paid_until) if self._suspects_line else self._next_trial)
        step = max(1, round((_STEP if self._is_base_proven else _FIRST_STEP) * limit))
        if self._is_base_proven and not self._suspects_line:
            step = -step
        if step > 0 and is_due and self._is_base_proven and not self._is_worth_trying(limit, limit - step):
            step = -step  # less is known to be worse, so more is tried
        is_open = step < 0 and count < target  # nothing waits: what is remembered may be of another service
        if self._is_base_proven and not (is_due and (is_open or self._is_worth_trying(limit, limit - step))):
            self._stretch = min(self._stretch * 2, _STRETCH)
            return self._move(limit, "hold", now)
        if limit - step < self._min:
            self._is_base_proven = True  # nothing lower can be tried
            self._next_trial = now + _PAUSE
            return self._move(limit, "hold", now)
        self._stretch = min(self._stretch, 2)
        return self._try(window, limit - step, "probe", now)

    def _is_worth_trying(self, limit: int, other: int) -> bool:
        """Whether it is not remembered that what lies between gets less done."""
        return self._memory.gain(limit, min(other, limit + 1), max(other, limit - 1)) > _KNOWN_WORSE

    def _weigh(self, one: Window, other: Window) -> None:
        """Add what two windows say to the evidence of a line."""
        lower, upper = (one, other) if one.limit < other.limit else (other, one)
        wider = log(upper.limit / lower.limit)
        served = log(upper.rate / lower.rate)
        information = 1 / (one.scatter / one.count + other.scatter / other.count)
        self._elasticity.learn(wider, served, information)
        most = min(wider, _TELLING)
        evidence = most * (most / 2 - served) * information
        self._evidence += max(-_MOST_EVIDENCE, min(_MOST_EVIDENCE, evidence))

    def _go_back(self, trial: Window, window: Window, now: float) -> Change | None:
        """Undecided: a trial for its own sake waits for its time; after a cut, the way back is one more trial."""
        self._stretch = 2
        if not self._is_probe:
            return self._try(window, trial.limit, "restore", now)
        if not self._is_base_proven and self._evidence <= 0:
            self._undecided += 1
            self._is_base_proven = self._undecided >= _UNDECIDED
        self._pay(trial, now, 1 - max(0.0, self._evidence) / _DECIDED)
        self._next_trial = now + _SHORT_PAUSE
        return self._move(trial.limit, "restore", now)

    def _line(self, trial: Window, window: Window, now: float) -> Change | None:
        """The upper limit only lengthens the line."""
        self._growth = 1
        if window.limit > trial.limit:
            lower = trial
            self._next_trial = now + _SHORT_PAUSE
        else:
            lower = window
            self._next_trial = now
        self._follow(lower, _FOLLOW, upward=False)
        self._evidence = 0.0
        self._suspects_line = True
        self._paid_until = now  # where a line is known, a trial down costs nothing
        return self._move(lower.limit, "line", now)

    def _free(self, trial: Window, window: Window, now: float) -> Change | None:
        """The upper limit gets more done, or costs nothing."""
        self._evidence = 0.0
        self._suspects_line = False
        self._memory.forget(min(trial.limit, window.limit))
        self._next_trial = now + _PAUSE
        self._pay(trial, now, 1.0 if self._is_base_proven else 0.0)
        is_refuted = window.limit < trial.limit and not self._is_probe
        self._follow(window, _FOLLOW if self._is_base_proven and not is_refuted else 1.0)
        self._is_base_proven = True
        if window.limit > trial.limit:  # it pays: on at once
            more = min(int(max(1.0, _GROWTH * window.limit) * self._growth), max(1, window.limit // 2))
            self._growth = min(self._growth * 2, _FASTEST)
            self._stretch = 1
            return self._try(window, window.limit + more, "room", now)
        return self._move(trial.limit, "restore", now)

    def _pay(self, trial: Window, now: float, share: float) -> None:
        """No other trial down until what this one may have cost is a small part of what was done."""
        lost = max(0.0, 1 - self.value / trial.limit)
        self._paid_until = now + (now - self._changed_at) * lost / _PRICE * share

    def _follow(self, window: Window, share: float, *, upward: bool = True) -> None:
        """Move the base by a share of the way to what a window saw."""
        base = self._base
        for kind, (latency, _) in window.halves.items():
            usual = base.get(kind)
            if usual is None:
                base[kind] = latency
            elif upward or latency < usual:
                base[kind] = usual + (latency - usual) * share

    def _try(self, window: Window, limit: int, reason: str, now: float) -> Change | None:
        """Move, and remember what the world was like before."""
        change = self._move(limit, reason, now)
        if change is not None:
            self._trial = window
            self._is_probe = reason == "probe"
        return change

    def _move(self, limit: int, reason: str, now: float) -> Change | None:
        """Begin a new window, under another limit perhaps."""
        limit = max(self._min, min(self._max, limit))
        self._window = None
        self._settling = 0
        has_moved = limit != self.value
        if has_moved:
            self.value = self._settling = limit
            self._changed_at = now
        self._wanted = max(_SAMPLES * self._stretch, _TURNOVERS * limit)
        return Change(limit, reason) if has_moved else None

    def __repr__(self) -> str:
        waits = "proven" if self._is_base_proven else "unproven"
        return f"<Steering limit={self.value} base={waits} evidence={self._evidence:.2f}>"


def _is_harmless(window: Window) -> bool:
    """Whether all is answered so fast that nobody notices what waits inside the upstream."""
    return bool(window.halves) and all(latency < _HARMLESS for latency, _ in window.halves.values())
