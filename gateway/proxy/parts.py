"""Which part of what is configured for the whole gateway is this worker's: of fixed limits and queues.

Each worker begins with an even part; from then on the control process deals them out by demand. A worker that is
short of something itself takes less of its queues than it was dealt.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from gateway.admission.limits.fixed import Fixed
from gateway.proxy.attempts import EARLY_BYTES
from gateway.proxy.capacity import beneath

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.admission.gate import Gate
    from gateway.config.settings import Settings
    from gateway.core.clock import Clock


class Parts:
    """Resizes limits and queues by upstream as the parts move; ``even`` is one worker's of all.

    ``on_resize`` is called with the upstream whose limit moves.
    """

    __slots__ = ("_clock", "_gates", "_on_resize", "_queue_parts", "_settings", "_usable", "even")

    def __init__(
        self,
        settings: Settings,
        workers: int,
        gates: Mapping[str, Gate],
        clock: Clock,
        *,
        on_resize: Callable[[str], None] | None = None,
    ) -> None:
        self._on_resize = on_resize
        self.even = 1 / workers
        self._settings = settings
        self._gates = gates
        self._clock = clock
        self._queue_parts: dict[str, float] = {}
        self._usable = 1.0

    def deal(self, limits: Mapping[str, int], queues: Mapping[str, float]) -> None:
        """Take new parts: limits in requests, queues in parts of the whole; what is not named stays."""
        for name, number in limits.items():
            limit = beneath(self._gates[name].limit)
            if isinstance(limit, Fixed) and self._settings.upstreams[name].limit.mode != "off":
                if limit.value != number and self._on_resize is not None:
                    self._on_resize(name)
                limit.value = number
                self._gates[name].admit_waiting(self._clock.now())
        for name, part in queues.items():
            self._queue_parts[name] = part
            self._resize(name)

    def use_of_queues(self, usable: float) -> None:
        """Fill no more than this part, in (0, 1], of what each queue was dealt."""
        self._usable = usable
        for name in self._gates:
            self._resize(name)

    def room(self, upstream: str) -> tuple[int, int]:
        """The requests and the bytes that may wait here for this upstream."""
        queue = self._settings.upstreams[upstream].queue
        part = self._queue_parts.get(upstream, self.even) * self._usable
        size = queue.max_bytes
        # always room for the one request that any worker may get
        return ceil(queue.max_length * part), max(int(size * part), min(size, EARLY_BYTES))

    def _resize(self, upstream: str) -> None:
        length, size = self.room(upstream)
        self._gates[upstream].queue.resize(max_length=length, max_size=size)
