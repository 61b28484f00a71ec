"""Whether the service survived, and why, in words (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.drill.shape import phase_at
from gateway.drill.tally import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.drill.shape import Phase
    from gateway.drill.tally import Cohort, Outcome, Tally

RECOVERED: Final = 0.99
"""The share of requests that must be served again in the second half of the last phase."""
COLLAPSED: Final = 0.5
"""Of the best goodput: less than this at the top means that overload made the service serve less."""
_FAULTS: Final[dict[Outcome, str]] = {
    "failed": "failed, which no refusal explains",
    "misdirected": "were answered 3xx or 4xx: is --path right?",
    "not_sent": "could not be sent, because too many connections waited for answers",
}
_SPAN: Final = 3.0
"""Seconds over which goodput is compared."""
_LATE: Final = 0.1
_SLOWER: Final = 5.0
_SLOWEST: Final = 0.5


class Verdict(NamedTuple):
    """``is_good`` is what the exit status says; ``words`` begin with the judgement."""

    is_good: bool
    words: tuple[str, ...]


def verdict(tally: Tally, load: Sequence[Phase], *, until: float) -> Verdict:
    """Judge what happened up to an instant; earlier than the end when somebody ended it."""
    faults = [*_failures(tally), *_collapse(tally, load, until), *_no_recovery(tally, load, until)]
    words = [
        "The service did not survive:" if faults else _survived(tally, load, until),
        *faults,
        *_told(tally, load, until),
    ]
    return Verdict(not faults, tuple(words))


def _survived(tally: Tally, load: Sequence[Phase], until: float) -> str:
    if until < load[-1].end:
        return "Ended early. So far the service survived; whether it recovers was not seen."
    if not _recovery(tally, load).offered:
        return "So far the service survived; whether it recovers was not seen: nothing was asked after the climb."
    return "The service survived."


def _failures(tally: Tally) -> Iterable[str]:
    for outcome, what in _FAULTS.items():
        words = tally.words[outcome]
        if words.total():
            yield f"{_count(words.total(), 'request')} of {tally.sent} {what} ({_listed(words)})"
    if tally.due and not tally.count("served"):
        yield "nothing was served"


def _collapse(tally: Tally, load: Sequence[Phase], until: float) -> Iterable[str]:
    top = [phase for phase in load if phase.name == "top"]
    begin, end = top[0].begin, min(top[-1].end, until)
    if end - begin < 2 * _SPAN:
        return
    served = [0] * (int(until / _SPAN) + 1)
    for due, place in zip(tally.due, tally.outcome, strict=True):
        if not place and due < until:
            served[int(due / _SPAN)] += 1
    best = max(served[: int(end / _SPAN)], default=0)
    last = served[max(int(end / _SPAN) - 1, 0)]
    if last < COLLAPSED * best:
        yield f"at the top it served {last / _SPAN:.0f}/s in the end, after {best / _SPAN:.0f}/s before: it collapsed"


def _no_recovery(tally: Tally, load: Sequence[Phase], until: float) -> Iterable[str]:
    after = load[-1]
    if until < after.end:
        return
    calm = tally.between(load[0].begin, load[0].end)
    last = _recovery(tally, load)
    if last.share_served < RECOVERED:
        share = 100 * (1 - last.share_served)
        yield f"it did not recover: {share:.1f} % were not served although the load was low again"
    slow, usual = quantile(last.latencies, 0.5), quantile(calm.latencies, 0.5)
    if slow > max(_SLOWER * usual, usual + _SLOWEST):
        yield f"it did not recover: half of the answers took longer than {_ms(slow)}, before the climb {_ms(usual)}"


def _recovery(tally: Tally, load: Sequence[Phase]) -> Cohort:
    """What was asked in the second half of the last phase."""
    after = load[-1]
    return tally.between(after.begin + after.seconds / 2, after.end)


def _told(tally: Tally, load: Sequence[Phase], until: float) -> Iterable[str]:
    for name, title in (("calm", "calm"), ("climb", "climbing"), ("top", "at the top"), ("after", "afterwards")):
        spans = [phase for phase in load if phase.name == name and phase.begin < until]
        if not spans:
            continue
        begin, end = spans[0].begin, min(spans[-1].end, until)
        cohort = tally.between(begin, end)
        if not cohort.offered:
            continue
        seconds = max(end - begin, 0.001)
        text = f"{title}: {cohort.offered / seconds:.0f}/s offered, {cohort.ended['served'] / seconds:.0f}/s served"
        if cohort.latencies:
            text += f", p50 {_ms(quantile(cohort.latencies, 0.5))}, p99 {_ms(quantile(cohort.latencies, 0.99))}"
        if cohort.ended["refused"]:
            text += f", {100 * cohort.ended['refused'] / cohort.offered:.1f} % refused"
        yield text
    refused = tally.words["refused"]
    if refused.total():
        yield f"refused, each with a reason: {_listed(refused)}"
    if tally.latest > _LATE:
        yield f"the drill itself sent up to {_ms(tally.latest)} late; latencies count from when a request was due"


def at(load: Sequence[Phase], instant: float) -> str:
    """The name of the phase of an instant."""
    return phase_at(load, instant).name


def _listed(words: dict[str, int]) -> str:
    ordered = sorted(words.items(), key=lambda each: -each[1])
    return ", ".join(f"{word} {count}" for word, count in ordered)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
