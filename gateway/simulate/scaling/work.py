"""What requests cost: the seconds of work that the arrivals of one second bring together.

A fluid model needs the sum, not each request. The sum of many is normal (mean a·S, variance a·cs²·S²); what is
rare and huge is drawn one by one, because that is what a heavy tail does to a pool.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random


class Work(NamedTuple):
    """Service times with ``mean`` seconds and squared coefficient of variation ``cv2``.

    Of all requests the share ``rare`` takes a Pareto time (exponent 1.5) from ``rare_from`` up to ``rare_to`` seconds.
    """

    name: str
    mean: float
    cv2: float
    rare: float = 0.0
    rare_from: float = 0.0
    rare_to: float = 0.0

    def total(self, arrivals: int, rng: Random) -> float:
        """The seconds of work that so many arrivals bring, ≥ 0."""
        if not arrivals:
            return 0.0
        common = self.mean - self.rare_mean
        work = arrivals * common + rng.gauss(0, 1) * common * sqrt(arrivals * self.cv2)
        if self.rare:
            for _ in range(poisson(arrivals * self.rare, rng)):
                work += min(self.rare_from * rng.paretovariate(1.5), self.rare_to)
        return max(work, 0.1 * arrivals * common)

    def draw(self, rng: Random) -> float:
        """The service time of one request, lognormal or constant, in seconds."""
        common = self.mean - self.rare_mean
        spread = log(1.0 + self.cv2)
        time = common * exp(sqrt(spread) * rng.gauss(0, 1) - spread / 2) if spread else common
        if self.rare and rng.random() < self.rare:
            time += min(self.rare_from * rng.paretovariate(1.5), self.rare_to)
        return time

    @property
    def rare_mean(self) -> float:
        """What the rare ones add to the mean, in seconds."""
        if not self.rare:
            return 0.0
        # the mean of a Pareto time with exponent 1.5 that is cut at rare_to
        low, high = self.rare_from, self.rare_to
        return self.rare * (3 * low - 2 * low * sqrt(low / high))

    @property
    def rare_squares(self) -> float:
        """What the rare ones add to the mean of the squares, in square seconds."""
        if not self.rare:
            return 0.0
        low, high = self.rare_from, self.rare_to
        return self.rare * (4 * low * sqrt(low * high) - 3 * low * low)

    @property
    def squares(self) -> float:
        """The mean of the squares of all service times, in square seconds."""
        common = self.mean - self.rare_mean
        return common * common * (1 + self.cv2) + self.rare_squares


def poisson(mean: float, rng: Random) -> int:
    """A number of independent events; by Knuth's product below 30, by the normal law above."""
    if mean > 30:  # noqa: PLR2004 - there the normal law is within 1 %
        return max(0, round(rng.gauss(mean, sqrt(mean))))
    limit, count, product = exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


CONSTANT = Work("constant", 0.1, 0.0)
LOGNORMAL = Work("lognormal", 0.1, 1.0)
HEAVY_TAIL = Work("heavy_tail", 0.1, 1.0, rare=0.002, rare_from=1.0, rare_to=60.0)
# Answers of a language model: prefill and decoding, spread as the lengths in the Azure trace of 2023 (p50 13, p99 251
# tokens for code), some twenty tokens a second for each stream.
LLM_TOKENS = Work("llm_tokens", 2.0, 2.5)
MODELS = {work.name: work for work in (CONSTANT, LOGNORMAL, HEAVY_TAIL, LLM_TOKENS)}
