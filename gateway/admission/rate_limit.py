"""How often one key may ask: the generic cell rate algorithm (ITU-T I.371 Annex A, the virtual scheduling form).

Each key has a theoretical arrival time, *TAT*: the instant at which all that it was charged for would have been
served at exactly its rate. What has not been served by now is its debt, TAT - now; a request passes when the debt with
it stays within the burst. Instants are counted in requests, on a clock that runs at the rate. It is a token
bucket turned upside down (the bucket is full when TAT has passed), and needs one number a key and no refilling.

*What holds*, for every key, whatever comes in whatever order: what is charged in any length of time t, less what is
refunded in it, is at most rate × t + burst. Time that goes back stands still; a key that was idle for a year has one
burst; who is refused is not charged.

*Refunds* give back what was charged, never more than makes the bucket full. One that comes after the key was
forgotten, or while it shares (see :mod:`gateway.admission.rate_table`), is lost: it could fill somebody else's bucket.

*Several workers.* Each has a share of the rate and of the burst, so that together they let pass what one would.
A worker whose share of the burst is less than one request still lets one pass at a time.

Not here: which key (:mod:`gateway.admission.rate_key`), several rules at once (:mod:`gateway.admission.rate_gate`).
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from gateway.admission.rate_table import MAX_KEYS, RateTable

# What rounding may take from a burst is given back: a thousandth of a request.
_SLACK: Final = 0.001


class Quota(NamedTuple):
    """What one key has left: requests that would pass at once, seconds until there is one more (0: none is missing)."""

    remaining: int
    more_in: float


class KeyedRateLimit:
    """``rate`` requests a second and ``burst`` at once for each key; the table of keys is bounded."""

    # Debts are counted in requests on a clock that runs as fast as requests are paid off. So when the rate changes,
    # because this worker gets another part of it, no debt is forgiven and none grows.
    __slots__ = ("_allowed", "_burst", "_clock", "_latest", "_rate", "_speed", "table")

    def __init__(self, rate: float, burst: float, *, max_keys: int = MAX_KEYS, salt: bytes = b"") -> None:
        self._rate = rate
        self._burst = burst
        self._latest = -inf
        self._clock = 0.0
        self._speed = rate
        self.table = RateTable(max_keys, salt)
        self.set_share(1.0, 1.0)

    def set_share(self, rate: float, burst: float) -> None:
        """Let pass these parts, in (0, 1], of the rate and of the burst."""
        if self._latest != -inf:
            self._advance(self._latest)
        self._speed = self._rate * rate
        self._allowed = max(self._burst * burst, 1.0) + _SLACK

    def _advance(self, now: float) -> float:
        """The requests that have been paid off until now, if there was always one to pay; never goes back."""
        if now > self._latest:
            if self._latest != -inf:
                self._clock += (now - self._latest) * self._speed
            self._latest = now
        return self._clock

    def take(self, key: str, cost: float, now: float) -> float:
        """Charge the key if the request may go: 0.0; else how long to wait in seconds, and nothing is charged.

        ``inf`` when the cost is above the burst: no wait would help.
        """
        paid = self._advance(now)
        owed = max(self.table.get(key, paid), paid) + cost
        excess = owed - paid - self._allowed
        if excess <= 0:
            self.table.put(key, owed, paid)
            return 0.0
        return excess / self._speed if cost <= self._allowed else inf

    def wait(self, key: str, cost: float, now: float) -> float:
        """What :meth:`take` would say; nothing is charged."""
        if cost > self._allowed:
            return inf
        paid = self._advance(now)
        return max(max(self.table.get(key, paid), paid) + cost - paid - self._allowed, 0.0) / self._speed

    def refund(self, key: str, cost: float, now: float) -> None:
        """Give back what was taken, once, for a request that was not served after all."""
        paid = self._advance(now)
        owed = self.table.own(key)
        if owed is not None and owed > paid:
            self.table.put(key, max(owed - cost, paid), paid)

    def debt(self, key: str, now: float) -> float:
        """How many requests the key was charged for that are not yet served at its rate; 0 when it may burst."""
        paid = self._advance(now)
        return max(self.table.get(key, paid) - paid, 0.0)

    def quota(self, key: str, now: float) -> Quota:
        """What the key has left."""
        left = max(self._allowed - self.debt(key, now), 0.0)
        whole = int(left)
        is_full = left >= int(self._allowed)
        return Quota(whole, 0.0 if is_full else (whole + 1 - left) / self._speed)

    def tick(self, now: float) -> None:
        """Forget a few keys that are as good as new; new keys do it too, so this only tidies up in quiet times."""
        self.table.forget(self._advance(now), _TIDIED)

    def __repr__(self) -> str:
        return f"<KeyedRateLimit rate={self._speed:g} burst={self._burst:g} keys={len(self.table)}>"


# Entries examined by one tick: 64 take about 10 µs, and at ten ticks a second a full table is tidied in minutes.
_TIDIED: Final = 64
