"""What would change between two settings, in words (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.core.units import Seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.simulate.scaling.measures import Measures

_SAME: Final = 0.005
"""Of a number: a difference that is smaller is none."""
_NOISE: Final = 0.05
"""Of a number of changes: less than that is chance."""
_MEANINGS: Final = {
    "hold": "scale-in holds {by} {longer}",
    "max_hold": "the longest hold is {by} {longer}",
    "cold_start": "a start is believed to take {by} {longer}, until it was measured",
    "slo.wait": "the longest wait that is good is {by} {longer}",
    "queue.max_wait": "the longest wait in the queue is {by} {longer}",
}


def changed_settings(before: Struct, after: Struct, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Every key whose values differ, tables entered: (key path, value in A, value in B)."""
    for name in before.__struct_fields__:
        one, other = getattr(before, name), getattr(after, name)
        if isinstance(one, Struct) and isinstance(other, Struct):
            yield from changed_settings(one, other, f"{path}{name}.")
        elif one != other:
            yield path + name, one, other


def setting_in_words(key: str, before: object, after: object) -> str:
    """One changed key, and what it means where that can be said: "hold 10m → 15m: scale-in holds 5m longer"."""
    text = f"{key} {_shown(before)} → {_shown(after)}"
    meaning = next((words for name, words in _MEANINGS.items() if key == name or key.endswith(f".{name}")), None)
    if meaning is None or not isinstance(before, Seconds) or not isinstance(after, Seconds):
        return text
    by = Seconds(round(abs(after - before), 6))
    return f"{text}: {meaning.format(by=by, longer='longer' if after > before else 'shorter')}"


def outcome_in_words(before: Measures, after: Measures) -> list[str]:
    """What B does otherwise than A, the most important first; one sentence when nothing differs."""
    said = [
        *_share("costs", before.replica_hours, after.replica_hours, "{:.1f} instead of {:.1f} replica hours"),
        *_points("violates", before.violations, after.violations),
        *_points("sheds", before.shed, after.shed),
        *_number("flips", "a day", before.flips, after.flips),
        *_number("changes its replicas", "times a day", before.operations, after.operations),
    ]
    if before.peak != after.peak:
        said.append(f"B has at most {after.peak} replicas at a time instead of {before.peak}")
    return said or ["B does the same as A"]


def _share(verb: str, before: float, after: float, detail: str) -> Iterator[str]:
    if before and abs(after / before - 1) >= _SAME:
        share = after / before - 1
        yield f"B {verb} {abs(share):.1%} {_more(share)} ({detail.format(after, before)})".replace("%", " %")


def _points(verb: str, before: float, after: float) -> Iterator[str]:
    if abs(after - before) >= _SAME:
        difference = after - before
        yield (
            f"B {verb} {abs(difference):.2f} points {_more(difference)} "
            f"({after:.2f} instead of {before:.2f} % of all requests)"
        )


def _number(verb: str, unit: str, before: float, after: float) -> Iterator[str]:
    if abs(after - before) >= max(1.0, _NOISE * max(before, after)):
        yield f"B {verb} {after:.0f} {unit} instead of {before:.0f}"


def _more(difference: float) -> str:
    return "more" if difference > 0 else "less"


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
