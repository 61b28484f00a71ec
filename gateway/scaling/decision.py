"""A decision: from how many replicas to how many, who wanted it, who tamed it, and what it should bring."""

from __future__ import annotations

from msgspec import Struct, field, json

from gateway.scaling.guards.plan import Mark
from gateway.scaling.settings import Mode
from gateway.scaling.vote import Vote


class Expected(Struct, frozen=True, gc=False):
    """What the verifier will look for."""

    by: float
    """The instant at which it must have come true."""
    need: float
    """Slots that were claimed to be needed."""
    slots: float
    """Slots of one replica, K, as the decision knew it."""
    throughput: float
    """Requests per second that were served before."""


class Decision(Struct, frozen=True):
    """One change, or in shadow mode what it would have been; ``reason`` is the word of the winning vote."""

    id: str
    t: float
    """On the clock of ``now``, in seconds."""
    target: str
    before: int = field(name="from")
    after: int = field(name="to")
    reason: str
    votes: tuple[Vote, ...]
    guards: tuple[Mark, ...]
    expected: Expected
    mode: Mode
    undoes: str = ""
    """The decision that this one reverts; empty for any other."""

    def __repr__(self) -> str:
        return f"<Decision {self.id} {self.target} {self.before}->{self.after} {self.reason}>"


def ledger_line(decision: Decision, wall: str = "") -> bytes:
    """One line of JSON, its end included; ``wall`` is the time of day in ISO form, which only the shell knows."""
    record = {"wall": wall, **_plain(decision)} if wall else _plain(decision)
    return json.encode(record) + b"\n"


def read_ledger_line(line: bytes) -> Decision:
    """The decision of a line; msgspec.ValidationError or DecodeError when it is none."""
    return json.decode(line, type=Decision)


def _plain(decision: Decision) -> dict[str, object]:
    found: dict[str, object] = json.decode(json.encode(decision))
    return found
