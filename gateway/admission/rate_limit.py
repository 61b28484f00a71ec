"""How often one key may ask: the generic cell rate algorithm (ITU-T I.371 Annex A, the virtual scheduling form).

Each key has a theoretical arrival time, *TAT*: the instant at which all that it was charged for would have been
served at exactly its rate. What has not been served by now is its debt, TAT - now; a request passes when the debt with
it stays within the burst. Instants are counted in requests, on a clock that runs at the rate. It is a token
bucket turned upside down (the bucket is full when TAT has passed), and needs one number a key and no refilling.

*What holds*, for every key, whatever comes in whatever order: what is charged in any length of time t, less what is
refunded in it, is at most rate × t + burst. Time that goes back stands still; a key that was idle for a year has one
burst; who is refused is not charged.

*Refunds* give back what was charged, never more than makes the bucket full. One that comes after the key was
forgotten, or while it shares, is lost: it could fill another key's bucket.

*Several workers* keep what keys owe in one :class:`~gateway.core.ledger.Ledger`. A worker writes what it charged
itself and the idle time that it saw; the debt is the sum of the charges, plus the longest idle time, less what has been
paid at the rate:

    paid = rate × now        owed = Σ charged + max(idle)        debt = max(owed - paid, 0)

When a key owes nothing the worker that charges it sets its ``idle`` so that owed = paid. A worker that dies leaves what
it charged, so its death gives no key a burst. Workers that decide in the same instant do not see one another's
charge; each has one decision under way, and what they charge is seen, and paid, by all. So over n workers what is
charged in any time t is at most rate × t + burst + (n - 1) × cost, and a key that one worker serves has its whole quota
there.

*Full.* A key that finds no room shares one account with all such keys of its set, and one that gets a place later
starts at what that account owes: no key is put out, for one that could make the table forget another one would buy
it a fresh burst. Only here is there no sum: what one worker charged to a key's own place and another one to a shared
account is not added up. And what one worker charges to a key in the microseconds in which another one forgets that it
owes nothing may be lost.

Not here: which key (:mod:`gateway.admission.rate_key`), several rules at once (:mod:`gateway.admission.rate_gate`).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.ledger import OVERFLOW, Ledger

if TYPE_CHECKING:
    from gateway.core.ledger import Table

# What rounding may take from a burst is given back: a thousandth of a request.
SLACK: Final = 0.001
MAX_KEYS: Final = 7 * 32_768
"""Keys of one rule that a worker knows at a time; of 6 MiB for each worker, pages are taken as keys fall into them.

With 50,000 keys that owe something at once, one newcomer in 2,000 finds no room; with 100,000, one in 80.
"""


class Quota(NamedTuple):
    """What one key has left: requests that would pass at once, seconds until there is one more (0: none is missing).

    Requests are of the cost that they have.
    """

    remaining: int
    more_in: float


class KeyedRateLimit:
    """``rate`` requests a second and ``burst`` at once for each key, in a ``table`` that all workers share.

    ``epoch`` is the instant, the same for all workers, from which paid requests are counted.
    """

    __slots__ = ("_allowed", "_burst", "_epoch", "_latest", "_rate", "overflowed", "table")

    def __init__(self, rate: float, burst: float, table: Table | None = None, epoch: float = 0.0) -> None:
        self._rate = rate
        self._burst = burst
        self._allowed = burst + SLACK
        self._epoch = epoch
        self._latest = -inf
        self.overflowed = 0
        self.table = Ledger().table(MAX_KEYS) if table is None else table

    def _advance(self, now: float) -> float:
        """The requests that have been paid off until now, if there was always one to pay; never goes back."""
        self._latest = max(self._latest, now)
        return (self._latest - self._epoch) * self._rate

    def take(self, key: str, cost: float, now: float) -> float:
        """Charge the key if the request may go: 0.0; else how long to wait in seconds, and nothing is charged.

        ``inf`` when the cost is above the burst: no wait would help.
        """
        paid = self._advance(now)
        table = self.table
        base, mark = table.place(key)
        own, total, highest = table.find(base, mark)
        owed = total + highest
        if own < 0:
            owed = max(owed, self._shared(base))
        owed = max(owed, paid)
        excess = owed + cost - paid - self._allowed
        if excess > 0:
            return excess / self._rate if cost <= self._allowed else inf
        if own < 0:
            own = table.claim(base, mark, paid)
            if own < 0:
                self.overflowed += 1
                own = table.overflow(base)
                total = table.find(base, OVERFLOW)[1]
        table.raise_to(own, owed - total)  # first: between the two the key owes what it owed
        table.add(own, cost)
        return 0.0

    def _shared(self, base: int) -> float:
        """What the keys of this set that found no room owe together."""
        _, total, highest = self.table.find(base, OVERFLOW)
        return total + highest

    def wait(self, key: str, cost: float, now: float) -> float:
        """What :meth:`take` would say; nothing is charged."""
        if cost > self._allowed:
            return inf
        paid = self._advance(now)
        return max(max(self._owed(key), paid) + cost - paid - self._allowed, 0.0) / self._rate

    def refund(self, key: str, cost: float, now: float) -> None:
        """Give back what was taken, once, for a request that was not served after all."""
        paid = self._advance(now)
        own, total, highest = self.table.find(*self.table.place(key))
        debt = total + highest - paid
        if own >= 0 and debt > 0:
            self.table.add(own, -min(cost, debt))

    def debt(self, key: str, now: float) -> float:
        """How many requests the key was charged for that are not yet served at its rate; 0 when it may burst."""
        return max(self._owed(key) - self._advance(now), 0.0)

    def _owed(self, key: str) -> float:
        base, mark = self.table.place(key)
        own, total, highest = self.table.find(base, mark)
        return total + highest if own >= 0 else max(total + highest, self._shared(base))

    def quota(self, key: str, now: float, cost: float = 1.0) -> Quota:
        """What the key has left, in requests of this cost."""
        left = max(self._allowed - self.debt(key, now), 0.0)
        whole = int(left / cost)
        is_full = left >= int(self._allowed / cost) * cost
        return Quota(whole, 0.0 if is_full else ((whole + 1) * cost - left) / self._rate)

    def __repr__(self) -> str:
        return f"<KeyedRateLimit rate={self._rate:g} burst={self._burst:g} keys={len(self.table)}>"
