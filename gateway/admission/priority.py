"""Which class a request belongs to, when its route leaves that to the request.

A header from a trusted proxy names a class. ``Priority: u=`` (RFC 9218 §4.1: urgency 0 to 7, 3 when nothing is
said) is the client's own wish, and counts only where the operator allows it: more urgent than 3 is the class
of the first band, less urgent that of the last; anything else stays the route's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.classes import TrafficClass

_URGENCY: Final = re.compile(r"(?:^|,)[ \t]*u=([0-7])[ \t]*(?:;[^,]*)?(?:,|\Z)")
_USUAL: Final = 3


class ClassChooser:
    """Chooses among ``classes`` for one route whose own class is ``usual``."""

    __slots__ = ("_accepts_priority", "_classes", "_first", "_header", "_last", "_usual")

    def __init__(
        self, usual: TrafficClass, classes: Mapping[str, TrafficClass], *, header: str | None, accepts_priority: bool
    ) -> None:
        self._usual = usual
        self._classes = classes
        self._header = header
        self._accepts_priority = accepts_priority
        by_band = sorted(classes.values(), key=lambda one: one.band)
        self._first, self._last = by_band[0], by_band[-1]

    def choose(self, headers: Mapping[str, str], *, is_trusted: bool) -> TrafficClass:
        """The class of a request; ``headers`` ignores the case of names."""
        if self._header is not None and is_trusted:
            named = self._classes.get(headers.get(self._header, ""))
            if named is not None:
                return named
        if self._accepts_priority:
            found = _URGENCY.search(headers.get("priority", ""))
            if found is not None and int(found[1]) != _USUAL:
                return self._first if int(found[1]) < _USUAL else self._last
        return self._usual
