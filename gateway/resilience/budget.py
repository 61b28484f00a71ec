"""One budget for the retries and hedges of an upstream.

Retries multiply the load on a service that already fails; when several layers do it, their factors multiply (SRE
book ch. 22). So an upstream's retries and hedges together are at most a share of its requests (as in Finagle's
``RetryBudget`` and the gRPC retry throttle), with a small floor for upstreams that have few requests.

In any ten seconds at most max(``ratio`` × requests, 10 × ``min_per_second``) are given, the floor's part of it no
faster than ``min_per_second``. What requests have paid in expires with them, so a quiet hour saves nothing up.
"""

from __future__ import annotations

from typing import Final

_SECONDS: Final = 10


class Budget:
    """Paid into by each request's first attempt, drawn on by each further one."""

    __slots__ = ("_at", "_deposits", "_floor", "_floor_at", "_paid", "_ratio", "_second", "_spent", "_until", "_used")

    def __init__(self, ratio: float, min_per_second: float) -> None:
        self._ratio = ratio
        self._second = min_per_second
        self._floor = max(1.0, min_per_second) if min_per_second else 0.0
        self._floor_at = 0.0
        self._paid = [0] * _SECONDS
        self._used = [0] * _SECONDS
        self._deposits = 0
        self._spent = 0
        self._at = 0
        self._until = 0.0

    def deposit(self, now: float, requests: int = 1) -> None:
        """So many requests made their first attempts."""
        if now >= self._until:
            self._roll(now)
        self._paid[self._at] += requests
        self._deposits += requests

    def withdraw(self, now: float) -> bool:
        """Whether one more attempt may be made; True spends."""
        if self.level(now) < 1:
            return False
        self._used[self._at] += 1
        self._spent += 1
        self._floor = max(0.0, self._floor - 1)
        return True

    def level(self, now: float) -> float:
        """How many more attempts may be made now, at least 0; less than 1 is none."""
        if now >= self._until:
            self._roll(now)
        if now > self._floor_at:
            if self._second:
                self._floor = min(max(1.0, self._second), self._floor + (now - self._floor_at) * self._second)
            self._floor_at = now
        # a thousand deposits of 0.1 are worth a hundred, not 99.99…
        paid = self._ratio * self._deposits + 1e-9 - self._spent
        floor = min(self._floor, _SECONDS * self._second - self._spent)
        return max(0.0, paid, floor)

    @property
    def ratio_used(self) -> float:
        """Further attempts ÷ requests in the last ten seconds; 0 when there was no request."""
        return self._spent / self._deposits if self._deposits else 0.0

    def _roll(self, now: float) -> None:
        passed = int(now - self._until) + 1
        for _ in range(min(passed, _SECONDS)):
            self._at = (self._at + 1) % _SECONDS
            self._deposits -= self._paid[self._at]
            self._spent -= self._used[self._at]
            self._paid[self._at] = self._used[self._at] = 0
        self._until += passed

    def __repr__(self) -> str:
        return f"<Budget requests={self._deposits} further={self._spent}>"
