"""What clients are told about their quota: RateLimit-Policy, RateLimit and Retry-After.

The first two are structured fields (RFC 9651), lists of strings with parameters, as in the IETF draft
"RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10): ``q`` requests in ``w`` seconds is
the policy, ``r`` requests would pass now, and ``t`` seconds later there will be more. All of them are requests of the
route, each of which may cost more than one: whoever is refused sees ``r=0`` there, and a ``t`` within its Retry-After.

*Policy.* ``w`` is whole seconds, the least in which a burst refills, and ``q / w`` is the rate; so ``q`` is the burst
where the two agree ("50/s", burst 100: ``q=100;w=2``). What may be sent at once is ``r``, never the policy.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from gateway.admission.rate_gate import RateGate
    from gateway.admission.rate_limit import Quota

# RFC 9651 §3.3.1: integers have at most 15 digits.
_LARGEST: Final = 10**15 - 1
_LONGEST_WAIT: Final = 86_400.0
# Clients that were refused together come back spread over this part of their wait, and at least over a second.
_JITTER: Final = 0.25
# Rounding must not turn 2.0000000001 s into 3.
_ROUNDING: Final = 1e-6


def policy_field(gate: RateGate) -> str:
    """The value of ``RateLimit-Policy``: every enforced rule; empty when there is none. The same for every request."""
    items = []
    for rule in gate.rules:
        if not rule.is_shadow:
            seconds = max(ceil(rule.burst / rule.rate - _ROUNDING), 1)
            count = int(max(rule.rate * seconds / rule.cost, 1) + _ROUNDING)
            items.append(f"{_string(rule.name)};q={min(count, _LARGEST)};w={min(seconds, _LARGEST)}")
    return ", ".join(items)


def quota_field(quotas: Iterable[tuple[str, Quota]]) -> str:
    """The value of ``RateLimit``: what is left, and in how many seconds there is more, unless all is there."""
    items = []
    for name, quota in quotas:
        item = f"{_string(name)};r={min(quota.remaining, _LARGEST)}"
        if quota.more_in:
            item += f";t={min(ceil(quota.more_in), _LARGEST)}"
        items.append(item)
    return ", ".join(items)


def retry_after(seconds: float, rng: Random) -> int:
    """The value of ``Retry-After``: never less than the wait, at least 1, with a random part so that crowds disperse.

    Waits are cut at a day: whoever asks then is told again.
    """
    seconds = min(seconds, _LONGEST_WAIT)
    return max(ceil(seconds + rng.random() * max(seconds * _JITTER, 1.0) - _ROUNDING), 1)


def _string(text: str) -> str:
    """A string as RFC 9651 §3.3.3 writes it; names are checked to be visible ASCII long before."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
