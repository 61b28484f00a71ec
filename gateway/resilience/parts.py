"""What a breaker's calls are told apart by: whose failures they are.

A breaker that watches several routes, or the pages of one, keeps a window for each that failed. It opens when failures
are *spread*: when what is left without the worst part would be reason enough, or the worst part is well elsewhere, so
that not the part is to blame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gateway.resilience.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.resilience.page import Page
    from gateway.resilience.trip import TripRule

_MOST: Final = 64
"""Routes or pages that are told apart; the failures of further ones are held against the whole."""
_FEW: Final = 4
"""Failures in a row must be spread: a quarter of ``min_calls`` beside the worst part."""


class Rest(NamedTuple):
    """What is left of a window without one part of it."""

    calls: int
    failures: int
    slow: int
    asked: int


class Parts:
    """Tells the calls in ``whole`` apart by their routes or pages.

    ``is_own`` is asked whether the failures of a part, given with its window, are the whole's after all, because the
    part is well elsewhere.
    """

    __slots__ = ("_by", "_found", "_least", "_row", "_rule", "_whole", "is_own")

    def __init__(self, by: Literal["route", "page"], whole: Window, rule: TripRule, least: int) -> None:
        self._by = by
        self._whole = whole
        self._rule = rule
        self._least = least
        self._found: dict[str, Window] = {}
        self._row: dict[str, int] = {}
        self.is_own: Callable[[str, Window, float], bool] | None = None

    def count(self, page: Page, now: float) -> None:
        """A call has ended well."""
        part = self._found.get(self._key(page))
        if part is not None:
            part.add(now)

    def fail(self, page: Page, now: float) -> None:
        """A call has failed."""
        part = self._part(page, now)
        if part is not None:
            part.calls += 1
            part.failures += 1
            key = self._key(page)
            self._row[key] = self._row.get(key, 0) + 1

    def ask(self, page: Page, now: float) -> None:
        """An answer asked to wait."""
        part = self._part(page, now)
        if part is not None:
            part.asked += 1

    def end_row(self) -> None:
        """A call did not fail: what failed in a row before it counts no more."""
        self._row.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()
        self._row.clear()

    def prune(self, now: float) -> bool:
        """Forget the parts that did nothing wrong within the window; whether there are others."""
        for key, part in list(self._found.items()):
            if now >= part.until:
                part.roll(now)
            if not part.failures and not part.asked:
                del self._found[key]
        return bool(self._found)

    def is_spread(self, now: float) -> bool:
        """Whether the calls beside the worst part's speak against the whole, or the worst part is well elsewhere."""
        if not self._found or not self.prune(now):
            return True
        whole = self._whole
        key, worst = max(self._found.items(), key=lambda part: part[1].failures + part[1].asked)
        if self.is_own is not None and self.is_own(key, worst, now):
            return True
        calls, failures = whole.calls - worst.calls, whole.failures - worst.failures
        return self._rule.judge(Rest(max(0, calls), max(0, failures), 0, max(0, whole.asked - worst.asked))) is not None

    def is_row_spread(self, length: int, now: float) -> bool:
        """The same for ``length`` failures in a row."""
        if not self._row:
            return True
        key, most = max(self._row.items(), key=lambda part: part[1])
        if length - most >= max(1, self._least // _FEW):
            return True
        part = self._found.get(key)
        if part is None or self.is_own is None:
            return False
        if now >= part.until:
            part.roll(now)
        return self.is_own(key, part, now)

    def _key(self, page: Page) -> str:
        return page.route if self._by == "route" else page.name

    def _part(self, page: Page, now: float) -> Window | None:
        """The window of a part, which is made at its first failure."""
        key = self._key(page)
        part = self._found.get(key)
        if part is None:
            if len(self._found) >= _MOST:
                return None
            part = self._found[key] = Window(self._whole.seconds, now)
            part.until = self._whole.until  # so that both forget at the same instants
        elif now >= part.until:
            part.roll(now)
        return part

    def __repr__(self) -> str:
        return f"<Parts by={self._by} {self._found}>"
