"""All the rate limits of one route: a request passes when every one lets it pass.

All are asked before any is charged, so a request that one refuses costs nothing at the others; and when it is
shed after it passed, what it was charged is given back. The rule that makes a client wait longest is the one
that refuses, so that its seconds are enough for all.

*Shadow.* A rule in shadow judges what the enforced ones let pass: it charges its own keys and counts what it would
refuse, and that is not charged, as if it were enforced. Its count is how many more would be refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.admission.rate_key import KeyReader
from gateway.admission.rate_limit import MAX_KEYS, SLACK, KeyedRateLimit, Quota
from gateway.admission.rate_settings import burst_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.admission.rate_settings import RateLimit
    from gateway.core.ledger import Ledger

RATE_LIMITED: Final = "rate_limited"
# In place of a key: this rule was not charged, so there is nothing to give back.
NOBODY: Final = ""


class RateRule:
    """One rate limit ready for use; ``passed`` and ``refused`` count its decisions, in shadow too."""

    __slots__ = ("burst", "cost", "is_shadow", "limit", "name", "passed", "rate", "reader", "refused")

    def __init__(self, settings: RateLimit, ledger: Ledger) -> None:
        self.name = settings.name
        self.rate = float(settings.rate)
        self.burst = burst_of(settings)
        self.cost = settings.cost
        self.is_shadow = settings.mode == "shadow"
        self.reader = KeyReader.parse(settings.key)
        self.limit = KeyedRateLimit(self.rate, self.burst, ledger.table(keys_of(settings)), ledger.epoch)
        self.passed = 0
        self.refused = 0

    def __repr__(self) -> str:
        mode = " shadow" if self.is_shadow else ""
        return f"<RateRule {self.name}{mode} passed={self.passed} refused={self.refused}>"


class RateRefusal(NamedTuple):
    """Why a request may not pass: the rule, requests observed and allowed in its burst, ``retry_after`` in seconds."""

    reason: str
    observed: float
    allowed: float
    retry_after: float
    rule: str


class RateGate:
    """The rules of one route. ``rules`` are the enforced and the shadow ones, in the order of the file.

    ``is_of_head``: no key depends on the client's address, so equal heads have equal keys.
    """

    __slots__ = ("_enforced", "_shadow", "is_of_head", "rules")

    def __init__(self, limits: Iterable[RateLimit], ledger: Ledger) -> None:
        self.rules = tuple(RateRule(limit, ledger) for limit in limits if limit.mode != "off")
        self._enforced = [(place, rule) for place, rule in enumerate(self.rules) if not rule.is_shadow]
        self._shadow = [(place, rule) for place, rule in enumerate(self.rules) if rule.is_shadow]
        self.is_of_head = not any(rule.reader.is_of_client for rule in self.rules)

    def keys(self, client: str, headers: Mapping[str, str], parameters: Mapping[str, str]) -> list[str]:
        """The keys of a request, one for each rule; to be kept until the request is served or shed."""
        return [rule.reader.read(client, headers, parameters) for rule in self.rules]

    def check(self, keys: list[str], cost: float, now: float) -> RateRefusal | None:
        """Charge every rule and return None; or charge none, and say which one refuses.

        ``cost`` multiplies each rule's own. The key of a shadow rule that would refuse is emptied in ``keys``,
        so that :meth:`refund` gives back what was taken and no more.
        """
        enforced = self._enforced
        if len(enforced) == 1:
            place, rule = enforced[0]
            seconds = rule.limit.take(keys[place], rule.cost * cost, now)
            if seconds:
                return _refusal(rule, seconds)
            rule.passed += 1
        elif enforced:
            longest = 0.0
            for place, rule in enforced:
                seconds = rule.limit.wait(keys[place], rule.cost * cost, now)
                if seconds > longest:
                    longest, refusing = seconds, rule
            if longest:
                return _refusal(refusing, longest)
            for place, rule in enforced:
                rule.limit.take(keys[place], rule.cost * cost, now)
                rule.passed += 1
        for place, rule in self._shadow:
            if rule.limit.take(keys[place], rule.cost * cost, now):
                rule.refused += 1
                keys[place] = NOBODY
            else:
                rule.passed += 1
        return None

    def refund(self, keys: list[str], cost: float, now: float) -> None:
        """The request that :meth:`check` let pass was shed: give back what it was charged, once."""
        for rule, key in zip(self.rules, keys, strict=True):
            if key:
                rule.limit.refund(key, rule.cost * cost, now)

    def quotas(self, keys: list[str], now: float) -> list[tuple[str, Quota]]:
        """What the request's keys have left, for each enforced rule by name."""
        return [(rule.name, rule.limit.quota(keys[place], now, rule.cost)) for place, rule in self._enforced]

    def __repr__(self) -> str:
        return f"<RateGate {' '.join(rule.name for rule in self.rules)}>"


def _refusal(rule: RateRule, seconds: float) -> RateRefusal:
    rule.refused += 1
    # from the wait itself: what the key owes may have changed since, and then the numbers would contradict it
    observed = rule.burst + SLACK + seconds * rule.rate
    return RateRefusal(RATE_LIMITED, observed, rule.burst, seconds, rule.name)


def keys_of(limit: RateLimit) -> int:
    """For how many keys a rule needs room: a route as a whole is one."""
    return 1 if KeyReader.parse(limit.key).is_of_route else MAX_KEYS


def tables_of(limits: Iterable[RateLimit]) -> list[int]:
    """The tables that the rules of a route take from a ledger, in their order, by how many keys they hold."""
    return [keys_of(limit) for limit in limits if limit.mode != "off"]
