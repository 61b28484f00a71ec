"""How many slots a load needs: exact Erlang C for few slots, square-root staffing for many.

The offered load R = λS (Little) is what would be busy on average with slots without end. The wait is
bounded by P(W > w) ≤ ε. Below :data:`EXACT_BELOW` slots c is found by Erlang's recursion (A. K. Erlang 1917; the
recursion on the blocking probability is in Cooper, *Introduction to Queueing Theory*, 1981, §3.4). Above, c = R + β√R
with β by Halfin & Whitt 1981 (*Heavy-traffic limits for queues with many exponential servers*):
P(W > 0) = [1 + βΦ(β)/φ(β)]⁻¹ and P(W > w) = P(W > 0)·exp(-(c-R)w/S).

Neither knows variability: what is above R is multiplied by √((ca²+cs²)/2) (Allen & Cunneen 1978, as in Whitt 1993,
*Approximations for the GI/G/m queue*).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, erfc, exp, log2, pi, sqrt
from typing import Final

EXACT_BELOW: Final = 50
"""From so many slots on the two methods differ by less than one slot."""
_STEPS_A_DOUBLING: Final = 32
_BISECTIONS: Final = 30
_HIGHEST_BETA: Final = 8.0
_MOST_VARIABLE: Final = 10.0


def erlang_c(slots: int, load: float) -> float:
    """The probability that an arrival must wait, in [0, 1]; 1 when the load is not below the slots."""
    if load <= 0:
        return 0.0
    if slots <= load:
        return 1.0
    blocking = 1.0
    for servers in range(1, slots + 1):
        blocking = load * blocking / (servers + load * blocking)
    return _waits(slots, load, blocking)


def _waits(slots: int, load: float, blocking: float) -> float:
    """Erlang C from the blocking probability B: c·B ÷ (c - R·(1 - B)), for more slots than load."""
    return slots * blocking / (slots - load * (1.0 - blocking))


def waits_longer(slots: int, load: float, patience: float) -> float:
    """P(W > w) for M/M/c; ``patience`` is w/S, in service times."""
    if slots <= load:
        return 1.0
    return erlang_c(slots, load) * exp(-(slots - load) * patience)


def halfin_whitt(beta: float) -> float:
    """P(W > 0) when c = R + β√R, in (0, 1]; β above 0."""
    if beta <= 0:
        return 1.0
    density = exp(-beta * beta / 2) / sqrt(2 * pi)
    return 1.0 / (1.0 + beta * 0.5 * erfc(-beta / sqrt(2)) / density) if density > 0 else 0.0


def staffing_beta(load: float, patience: float, risk: float) -> float:
    """The least β with P(W > w) ≤ ``risk``, in [0, 8]."""
    low, high = 0.0, _HIGHEST_BETA
    root = sqrt(load)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if halfin_whitt(middle) * exp(-middle * root * patience) <= risk:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=4096)
def _spare(step: int, patience: float, risk: float) -> float:
    """Slots above the load, for the load at the upper end of a step of the logarithmic grid."""
    load: float = 2.0 ** (step / _STEPS_A_DOUBLING)
    if load >= EXACT_BELOW:
        return staffing_beta(load, patience, risk) * sqrt(load)
    blocking, slots = 1.0, 0
    while True:
        slots += 1
        blocking = load * blocking / (slots + load * blocking)
        if slots > load and _waits(slots, load, blocking) * exp(-(slots - load) * patience) <= risk:
            return slots - load


def spare_slots(load: float, patience: float, risk: float, variability: float = 1.0) -> float:
    """What a load of R slots needs beside itself so that P(W > w) ≤ ε, finite and ≥ 0.

    ``patience`` is w/S; ``risk`` is ε; ``variability`` is (ca²+cs²)/2, clipped to [0, 10] because an estimate from
    few requests may be anything. Loads are put on a grid of 32 steps a doubling and the answers kept, so that a tick
    for hundreds of targets stays cheap.
    """
    if load <= 0:
        return 0.0
    step = ceil(log2(max(load, 0.01)) * _STEPS_A_DOUBLING)
    spare: float = _spare(step, round(patience, 2), risk)
    return spare * sqrt(min(max(variability, 0.0), _MOST_VARIABLE))


def slots_needed(load: float, patience: float, risk: float, variability: float = 1.0) -> float:
    """Slots for an offered load R, the load included; the rest as in :func:`spare_slots`."""
    return max(load, 0.0) + spare_slots(load, patience, risk, variability)


def backlog_slots(queued: float, service: float, drain: float) -> float:
    """Slots that serve a queue within ``drain`` seconds: q·S ÷ drain, and q where a service takes longer than that."""
    return queued * min(1.0, service / drain)
