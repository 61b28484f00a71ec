"""What may be done about an attempt that failed or is late: again, elsewhere, twice; and what may not.

A request may be made again when it provably never reached the upstream, or when making it twice does what making it
once does (RFC 9110 §9.2.2) and its body can be sent again. Whatever is made beyond the first attempt, save the
repeat after a connection that was closed while it was kept, is paid for from the upstream's one budget.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.errors import UpstreamFailed
from gateway.resilience.budget import Budget
from gateway.resilience.hedge import HedgeDelay
from gateway.resilience.retry import Retries

if TYPE_CHECKING:
    from random import Random

    from gateway.http.heads import ResponseHead
    from gateway.resilience.retry import Repeats
    from gateway.resilience.settings import HedgeSettings, RetrySettings

# RFC 9110 §9.2.2: sending these twice does what sending them once does.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
UNAVAILABLE: Final = 503
_MOST_DIGITS: Final = 5


class Recovery:
    """The means of one upstream. ``attempts`` is how often one request may be sent."""

    __slots__ = ("_deposited", "attempts", "budget", "hedge", "retries", "statuses")

    def __init__(self, retry: RetrySettings, hedge: HedgeSettings, rng: Random) -> None:
        self.budget = Budget(retry.budget.ratio, retry.budget.min_per_second)
        self.retries = Retries(retry, self.budget, rng)
        self.hedge = HedgeDelay(hedge) if hedge.after else None
        self.statuses = frozenset(retry.statuses) if retry.attempts > 1 else frozenset[int]()
        self.attempts = retry.attempts
        self._deposited = 0

    def deposit(self, firsts: int, now: float) -> None:
        """Pay into the budget for the requests since the last time; ``firsts`` is how many there ever were."""
        self.budget.deposit(now, firsts - self._deposited)
        self._deposited = firsts

    def begin(self) -> Repeats:
        """Look after one request, from its first failure on."""
        return self.retries.begin()

    def fault(self, status: int, asked_for: float, remaining: float) -> tuple[UpstreamFailed, float] | None:
        """An answer as good as none, and the least pause the upstream asks for; None when it shall be passed on.

        An upstream that sheds (503) is only asked again when it says when (``asked_for`` seconds, below 0 when it does
        not), and that is soon enough.
        """
        if status == UNAVAILABLE and UNAVAILABLE not in self.statuses:
            if asked_for < 0 or asked_for >= remaining or remaining == inf:
                return None
        elif status not in self.statuses:
            return None
        return UpstreamFailed("upstream_status", f"status {status}"), max(0.0, asked_for)


def retry_after(head: ResponseHead) -> float:
    """The seconds in Retry-After (RFC 9110 §10.2.3); -1 without one, or when it is a date."""
    for line in head.fields.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"retry-after":
            text = value.strip()
            return float(text) if text.isdigit() and len(text) <= _MOST_DIGITS else -1.0
    return -1.0
