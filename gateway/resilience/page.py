"""Pages of a route, and how long each usually takes: what a call is compared with before it is held to be stuck.

A route is often the whole service, with pages that take a millisecond and pages that take a minute; one page may fail,
or stream for ever, while the others are well. So failures, hanging calls and unfinished answers are held against a page
first (:mod:`gateway.resilience.route`), and a call is late only beside calls of its own page.

A page is a path without its query, in which every segment with a digit, and every long one, is a wildcard: ``/users/7``
and ``/users/8`` are ``/users/*``. Only the first four segments count. A route keeps 256 pages; the one that was found
first and not used since gives way.
"""

from __future__ import annotations

import re
from math import exp, inf, log
from typing import Final

_wildcards: Final = re.compile(r"/(?:[^/0-9]{25}[^/]*|[^/0-9]*[0-9][^/]*)").sub
"""Replaces each segment that has a digit, or 25 characters or more."""
_DEPTH: Final = 5
"""Slashes: one before each of four segments, and the one behind them."""
_MOST: Final = 256
KINDS: Final = 16
"""Pages of one route whose times are not compared with those of others."""
_SECOND_CHANCES: Final = 8
_KNOWN: Final = 10
"""Answers after which it is known how long a page takes."""
_SLOWER: Final = 5.0
"""So many times the usual time is slow. What is usual follows the calls that are not slow, or a service that slows down
would make itself usual."""
_BEYOND: Final = 1.5
"""A call that hangs has also lasted so many times longer than the longest of late."""
_FOLLOW: Final = 0.05
_FADE: Final = 0.9
_FADE_EVERY: Final = 64
_LONGER: Final = 20.0
"""An answer that stays incomplete so many times longer than usual is stuck."""
LEFT_LATE: Final = 1.0
"""Seconds; a client that leaves sooner leaves for reasons of its own, and no answer is stuck before."""
_SHORTEST: Final = 1e-6


class Page:
    """One page of the route ``route``. Times are in seconds.

    ``kind`` is under what the limit compares its times: the page's own name; the route's for all beyond the first few.
    ``slow``: a call is slow from here. ``good_at`` is the instant of the latest good answer from anywhere.
    ``is_known_to_end``: its answers were whole so often that one which goes on is no stream.
    """

    __slots__ = (
        "_log_total",
        "_longest",
        "_threshold",
        "_totals",
        "_usual",
        "good_at",
        "is_known_to_end",
        "kind",
        "name",
        "route",
        "samples",
        "slow",
    )

    def __init__(self, route: str, name: str, threshold: float, kind: str = "") -> None:
        self.route = route
        self.name = name
        self.kind = kind or route
        self.slow = self._threshold = threshold
        self.good_at = -inf
        self.samples = 0
        self._usual = 0.0
        self._longest = 0.0
        self._log_total = 0.0
        self._totals = 0
        self.is_known_to_end = False

    def note(self, seconds: float, now: float) -> None:
        """A good answer began ``seconds`` after the request was complete."""
        self.good_at = now
        count = self.samples = self.samples + 1
        if seconds > self._longest:
            self._longest = seconds
        elif not count % _FADE_EVERY:
            self._longest *= _FADE
        if seconds < self.slow or count == 1:
            usual = self._usual
            self._usual = usual + _FOLLOW * (seconds - usual) if usual else seconds
            if count == 1 or not count % _KNOWN:
                self.slow = max(self._threshold, _SLOWER * self._usual)

    def complete(self, seconds: float) -> None:
        """An answer was whole ``seconds`` after the request was complete."""
        count = self._totals = self._totals + 1
        length = log(seconds) if seconds > _SHORTEST else log(_SHORTEST)
        self._log_total += (length - self._log_total) * max(_FOLLOW, 1 / count)
        if count >= _KNOWN:
            self.is_known_to_end = True

    @property
    def hangs_after(self) -> float:
        """Age from which a call without an answer hangs; ``inf`` while it is not known how long the page takes."""
        if self.samples < _KNOWN:
            return inf
        return max(self._threshold, _SLOWER * self._usual, _BEYOND * self._longest)

    @property
    def stuck_after(self) -> float:
        """Age from which an answer that is not complete is stuck; ``inf`` while it is not known to end at all."""
        return max(LEFT_LATE, _LONGER * exp(self._log_total)) if self.is_known_to_end else inf

    def forget(self) -> None:
        """Begin anew."""
        self.__init__(self.route, self.name, self._threshold, self.kind)  # type: ignore[misc]  # the same as a new one

    def __repr__(self) -> str:
        return f"<Page {self.route} {self.name} usual={self._usual:.4f} longest={self._longest:.4f}>"


class Pages:
    """The pages of one route, found by path; bounded, whatever paths strangers think of."""

    __slots__ = ("_kinds", "_known", "_route", "_threshold", "_used")

    def __init__(self, route: str, threshold: float) -> None:
        self._route = route
        self._threshold = threshold
        self._kinds: set[str] = set()
        self._known: dict[str, Page] = {}
        self._used: dict[str, int] = {}

    def of(self, path: str) -> Page:
        """The page of a path without query."""
        known = self._known
        page = known.get(path)
        if page is not None:
            return page
        name = template(path)
        page = known.get(name)
        if page is None:
            if len(known) >= _MOST:
                self._make_room()
            page = known[name] = Page(self._route, name, self._threshold, self._kind(name))
        return page

    def _kind(self, name: str) -> str:
        """The page's own, while there are few; a limit that compares within too many kinds compares nothing."""
        kinds = self._kinds
        if len(kinds) < KINDS:
            kinds.add(name)
        return f"{self._route} {name}" if name in kinds else self._route

    def has_answered(self, since: float) -> bool:
        """Whether any page was answered well since this instant."""
        return any(page.good_at >= since for page in self._known.values())

    def _make_room(self) -> None:
        """Let go of the oldest page that no good answer came from since it was looked at last."""
        known, used = self._known, self._used
        for _ in range(_SECOND_CHANCES):
            name = next(iter(known))
            page = known.pop(name)
            before = used.pop(name, 0)
            if page.samples == before:
                return
            known[name] = page
            used[name] = page.samples
        name = next(iter(known))
        del known[name]
        used.pop(name, None)

    def __len__(self) -> int:
        return len(self._known)


def template(path: str) -> str:
    """The name of a path's page."""
    if path.count("/") < _DEPTH:
        return _wildcards("/*", path)
    *parts, _ = path.split("/", _DEPTH)
    return _wildcards("/*", "/".join(parts)) + "/*"
