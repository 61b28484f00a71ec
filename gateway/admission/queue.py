"""Who waits when the limit is full, who goes next, and who will not be served.

Order, from the outside in: strict bands by class; in a band fair shares among classes by weight; in a
class fair shares among flows, one for each fairness key that waits; in a flow first come first served, and
last come first served while the flow stands.

*Standing flow* (controlled delay: Nichols & Jacobson 2012, RFC 8289, for each flow as in RFC 8290; the form for request
queues is Maurer, "Fail at Scale", 2015). A flow that was empty within the last ``INTERVAL`` is a burst: it drains in
order, and requests may wait up to ``max_wait``. One that was not empty for longer stands: it only adds delay. Then
its newest are served first and whoever waited longer than ``target`` is shed, while its client can still do
something else. Judging each flow by itself lets the one that asks for more than its share pay for the delay.
The order turns before that, as soon as more wait in a flow than half an interval serves at the pace since it was empty
(and more than a few): it is going to stand, and served in order, all who come from then on would wait for nothing.
Among n flows each is served a n-th of the time, so a target below the interval is n times as long there, up to the
interval: else one that asks for nearly its share would lose part of it to its own small bursts.

*A patient queue* (:meth:`Queue.be_patient`) sheds nobody before the longest wait, and keeps the order of arrival until
so many wait that they would wait for long; then its newest go first. What is above is the impatient queue: it is for
overload that is known to be one.

*While capacity is coming* (:meth:`Queue.hold`) who may wait until it has come is not shed for the delay: the wait will
not have been in vain. Who could not wait that long is shed as ever. When it has come, or is not coming any more, those
who wait already may wait on, or all of them would be shed in the moment in which they could be served.

*After a suspension* (:meth:`Queue.excuse`), in which no endpoint served, the time until its end does not count as a
wait, unless the longest wait is set by the operator.

*Memory.* Only keys that wait have a flow, so there are never more than requests that wait; the flow of a key
that was served lately is kept until its next service would be no later than a newcomer's.

*Bounds* on count and bytes. When full, room is made by whoever is served last: the lowest band below the
arrival's own; in its own band one ticket of the longest flow, if that is longer than the arrival's. Otherwise the
arrival is refused. Nobody is evicted for an arrival that is refused all the same.

Not here: how many may be in flight (the limit), and what a wait would be worth (the gate predicts).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.admission.fairness import FairShare, Sharer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.admission.classes import TrafficClass
    from gateway.admission.ticket import Ticket

INTERVAL: Final = 0.1
# What is served within so many seconds is a burst, and so are a few at any pace: their order is kept.
_BURST: Final = INTERVAL / 2
_FEW: Final = 8
# A flow is charged at least this, in seconds: a cost of nothing would never let the others in.
_LEAST_COST: Final = 0.0001
# A patient queue turns its order when what waits takes longer than this share of the longest wait to drain.
_PATIENT: Final = 0.4
# A longest wait that has changed by less than a fifth counts for those who come from now on.
_CLOSE: Final = 0.8
# Idle flows looked at for each new one: two keep up.
_EXAMINED: Final = 2


class Flow(Sharer):
    """The waiting tickets of one fairness key, oldest first.

    ``since`` is when it was last empty, and ``served`` how many were served since then.
    """

    __slots__ = ("is_idle_noted", "is_watched", "key", "owner", "served", "since", "tickets")

    def __init__(self, key: str, owner: ClassQueue) -> None:
        super().__init__()
        self.key = key
        self.owner = owner
        self.since = -inf
        self.served = 0
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()
        self.is_idle_noted = False
        self.is_watched = False

    def is_standing(self, now: float) -> bool:
        """Whether it was not empty for longer than the interval, or so many wait that it is going to stand."""
        waiting = len(self.tickets)
        if now >= self.since + INTERVAL:  # the same sum as in what is due
            return waiting > 0
        return waiting > _FEW and waiting * (now - self.since) > (self.served + 1) * _BURST


class Lengths:
    """Flows by how many wait in each, so that a longest one is known at once."""

    __slots__ = ("_flows", "_longest")

    def __init__(self) -> None:
        self._flows: dict[int, dict[Flow, None]] = {}
        self._longest = 0

    def grown(self, flow: Flow, length: int) -> None:
        """The flow has become one longer."""
        flows = self._flows
        if length > 1:
            del flows[length - 1][flow]
        flows.setdefault(length, {})[flow] = None
        self._longest = max(self._longest, length)

    def shrunk(self, flow: Flow, length: int) -> None:
        """The flow has become one shorter."""
        flows = self._flows
        del flows[length + 1][flow]
        if length:
            flows.setdefault(length, {})[flow] = None
        if not flows[self._longest]:
            self._longest -= 1

    def first(self) -> Flow | None:
        """The flow that has been longest for the longest; None when nobody waits."""
        return next(iter(self._flows[self._longest])) if self._longest else None


class ClassQueue(Sharer):
    """The flows of one class."""

    __slots__ = ("_idle", "band", "count", "flows", "lengths", "longest_allowed", "shares", "traffic_class")

    def __init__(self, traffic_class: TrafficClass, band: Band, longest_allowed: int) -> None:
        super().__init__(traffic_class.weight)
        self.traffic_class = traffic_class
        self.band = band
        self.longest_allowed = longest_allowed
        self.count = 0
        self.flows: dict[str, Flow] = {}
        self.lengths = Lengths()
        self.shares: FairShare[Flow] = FairShare()
        self._idle: deque[Flow] = deque()

    def flow(self, key: str) -> Flow:
        """The flow of a key, made if need be; a few idle ones are forgotten then."""
        found = self.flows.get(key)
        if found is None:
            self._forget()
            found = self.flows[key] = Flow(key, self)
        return found

    def note_idle(self, flow: Flow) -> None:
        """Nobody waits in this flow any more."""
        if not flow.is_idle_noted:
            flow.is_idle_noted = True
            self._idle.append(flow)

    def _forget(self) -> None:
        for _ in range(min(_EXAMINED, len(self._idle))):
            flow = self._idle.popleft()
            if flow.tickets:
                flow.is_idle_noted = False
            elif flow.finish <= self.shares.virtual_time:
                del self.flows[flow.key]
            else:
                self._idle.append(flow)


class Band:
    """The classes of one strict priority, and everything that waits in it in order of arrival."""

    __slots__ = ("classes", "number", "order", "shares")

    def __init__(self, number: int) -> None:
        self.number = number
        self.classes: list[ClassQueue] = []
        self.order: OrderedDict[Ticket, None] = OrderedDict()
        self.shares: FairShare[ClassQueue] = FairShare()

    def longest(self) -> Flow | None:
        """The flow in which most wait."""
        firsts = [found.lengths.first() for found in self.classes if found.count]
        return max((flow for flow in firsts if flow), key=lambda flow: len(flow.tickets), default=None)


class Queue:
    """Holds tickets until they are popped, leave, or are shed; whoever is shed hears it from here.

    ``target`` is the longest wait in a standing flow in seconds; the gate keeps it up to date. ``count``
    and ``size`` are tickets and bytes that wait now. Without ``max_wait`` the gate says how long anybody may wait.
    """

    __slots__ = (
        "_bands",
        "_classes",
        "_excused_until",
        "_held_until",
        "_is_auto",
        "_max_length",
        "_max_size",
        "_max_wait",
        "_number",
        "_spared_until",
        "_swamped_at",
        "_watched",
        "count",
        "is_patient",
        "size",
        "target",
    )

    def __init__(self, *, max_length: int, max_size: int, max_wait: float | None) -> None:
        self._max_length = max_length
        self._max_size = max_size
        self._is_auto = max_wait is None
        self._max_wait = inf if max_wait is None else float(max_wait)  # it is told to others, who know no units
        self.is_patient = False
        self._swamped_at = inf
        self._bands: list[Band] = []
        self._classes: dict[str, ClassQueue] = {}
        # Every flow in which somebody waits, by the instant at which its oldest is to be shed, as it was when noted.
        # Later ones are found out in passing; when the target shrinks some are noted up to an interval too late.
        self._watched: list[tuple[float, int, Flow]] = []
        self._number = count()
        self._held_until = inf
        self._spared_until = -inf
        self._excused_until = -inf
        self.target = self._max_wait
        self.count = 0
        self.size = 0

    def waiting(self) -> dict[str, int]:
        """How many wait, by class."""
        return {name: found.count for name, found in self._classes.items()}

    def be_patient(self, longest: float, rate: float, *, is_patient: bool) -> None:
        """Let everybody wait for ``longest`` seconds (or ``max_wait``), or judge by the delay; ``rate`` is what drains.

        While patient, the newest go first once what waits takes longer than two fifths of that to drain.
        """
        if not self._is_auto:
            longest = self._max_wait
        self._swamped_at = _PATIENT * longest * rate if rate else inf
        has_changed = is_patient is not self.is_patient or not _CLOSE * longest <= self._max_wait <= longest / _CLOSE
        if not has_changed:
            return
        self.is_patient = is_patient
        self._max_wait = longest
        self._note_again()

    def oldest(self) -> float | None:
        """The arrival of whoever has waited longest; None when nobody waits."""
        return min((next(iter(band.order)).arrived_at for band in self._bands if band.order), default=None)

    def ahead_of(self, ticket: Ticket, now: float) -> int:
        """About how many would be served before this one: higher bands, and its turn among the flows of its band."""
        band = self._class(ticket.traffic_class).band
        higher = sum(len(other.order) for other in self._bands if other.number < band.number)
        flow = self._classes[ticket.traffic_class.name].flows.get(ticket.key)
        own = 0 if flow is None or self._stands(flow, now) else len(flow.tickets)
        flows = sum(found.shares.backlogged for found in band.classes) + (flow is None or not flow.tickets)
        return higher + min(len(band.order), (own + 1) * flows - 1)

    def push(self, ticket: Ticket, now: float) -> str:
        """Let a ticket wait, at the expense of others if it must; the reason word when it may not, else empty."""
        found = self._class(ticket.traffic_class)
        victims: list[Ticket] = []
        if (
            found.count >= found.longest_allowed
            or self.count >= self._max_length
            or self.size + ticket.size > self._max_size
        ):
            reason = self._make_room(ticket, found, now, victims)
            if reason:
                return reason
        for victim in victims:
            self.leave(victim, now)
        flow = found.flow(ticket.key)
        ticket.flow = flow
        if not flow.tickets:
            flow.since = now
            flow.served = 0
        flow.tickets[ticket] = None
        found.lengths.grown(flow, len(flow.tickets))
        found.band.order[ticket] = None
        found.count += 1
        found.shares.activate(flow)
        found.band.shares.activate(found)
        self.count += 1
        self.size += ticket.size
        if not flow.is_watched:
            flow.is_watched = True
            heappush(self._watched, (self._due(flow), next(self._number), flow))
        for victim in victims:  # told last: whoever hears it may come back with another request
            victim.on_shed("evicted", now)
        return ""

    def pop(self, now: float) -> Ticket | None:
        """The ticket that goes next; None when nobody waits. Charges its flow and class."""
        for band in self._bands:
            found = band.shares.first()
            if found is None:
                continue
            flow = found.shares.first()
            if flow is None:  # cannot be: a backlogged class has a backlogged flow
                continue
            ticket = next(reversed(flow.tickets)) if self._stands(flow, now) else next(iter(flow.tickets))
            flow.served += 1
            self._unlink(ticket, flow)
            cost = max(ticket.cost, _LEAST_COST)
            found.shares.charge(flow, cost, is_backlogged=bool(flow.tickets))
            band.shares.charge(found, cost, is_backlogged=found.count > 0)
            return ticket
        return None

    def leave(self, ticket: Ticket, now: float) -> None:  # noqa: ARG002 - what changes the queue is told the time
        """The client has gone, or its time is over: its place is free at once. No effect when it does not wait."""
        flow = ticket.flow
        if isinstance(flow, Flow):
            self._unlink(ticket, flow)
            found = flow.owner
            if not flow.tickets:
                found.shares.deactivate(flow)
            if not found.count:
                found.band.shares.deactivate(found)

    def expire(self, now: float) -> None:
        """Shed whoever has waited too long."""
        while self.next_deadline() <= now:
            flow = self._watched[0][2]
            ticket = next(iter(flow.tickets))
            reason = "queue_delay" if ticket.arrived_at + self._max_wait > now else "queue_timeout"
            self.leave(ticket, now)
            ticket.on_shed(reason, now)

    def next_deadline(self) -> float:
        """The instant at which :meth:`expire` next has something to do, as things stand; ``inf`` when nobody waits."""
        watched = self._watched
        while watched:
            noted, _, flow = watched[0]
            if not flow.tickets:
                heappop(watched)
                flow.is_watched = False
                continue
            due = self._due(flow)
            if due <= noted:
                return due
            heapreplace(watched, (due, next(self._number), flow))
        return inf

    def filling(self, ticket: Ticket, reason: str) -> tuple[float, float]:
        """The numbers behind a refusal: what is there, and what may be, in bytes or requests as the reason says."""
        if reason == "queue_bytes_full":
            return self.size + ticket.size, self._max_size
        if reason == "queue_share_full":
            found = self._class(ticket.traffic_class)
            return found.count, found.longest_allowed
        return self.count, self._max_length

    def allowed_wait(self, reason: str) -> float:
        """The wait that whoever is shed for this reason has reached, in seconds; in a standing flow at the least."""
        return self._max_wait if reason == "queue_timeout" else min(self.target, self._max_wait)

    def resize(self, *, max_length: int, max_size: int | None = None) -> None:
        """Change the bounds on requests and bytes; whoever waits beyond them stays until served or shed."""
        self._max_length = max_length
        if max_size is not None:
            self._max_size = max_size
        for found in self._classes.values():
            found.longest_allowed = self._share(found.traffic_class)

    def hold(self, until: float, now: float) -> None:
        """Whoever may wait until then is not shed for the delay; ``inf`` ends that for those who come from now on."""
        if until == self._held_until:
            return
        if until > self._held_until:
            self._spared_until = now
        self._held_until = until
        self._note_again()

    def excuse(self, now: float) -> None:
        """Count the wait of everybody who is here from now on."""
        if self._is_auto:
            self._excused_until = now

    def look_again(self, now: float) -> None:
        """After a hold newer tickets may be due before older ones: note the flows anew while that may be."""
        if now < self._spared_until + self._max_wait:
            self._note_again()

    def _note_again(self) -> None:
        flows = [flow for _, _, flow in self._watched]
        for flow in flows:
            flow.is_watched = bool(flow.tickets)
        self._watched = [(self._due(flow), next(self._number), flow) for flow in flows if flow.is_watched]
        heapify(self._watched)

    def _due(self, flow: Flow) -> float:
        """The instant at which the oldest ticket of a flow is to be shed."""
        ticket = next(iter(flow.tickets))
        arrived_at = max(ticket.arrived_at, self._excused_until)
        longest = arrived_at + self._max_wait
        if self.is_patient or arrived_at < self._spared_until or self._held_until <= min(longest, ticket.deadline):
            return longest
        target = self.target
        if target < INTERVAL:
            target = min(target * max(flow.owner.shares.backlogged, 1), INTERVAL)
        return min(longest, max(arrived_at + target, flow.since + INTERVAL))

    def _make_room(self, ticket: Ticket, found: ClassQueue, now: float, victims: list[Ticket]) -> str:
        """Choose who has to go for this arrival; the reason word when that is not enough. Nobody is touched yet."""
        if self._max_length > found.count >= found.longest_allowed:
            victim = self._rival(found.lengths.first(), found, ticket.key, now)
            if victim is None:
                return "queue_share_full"
            victims.append(victim)
        places = self.count - len(victims) + 1 - self._max_length
        size = self.size - sum(victim.size for victim in victims) + ticket.size - self._max_size
        for lower in reversed(self._bands):
            if lower.number <= found.band.number or (places <= 0 and size <= 0):
                break
            for victim in self._least_hopeful(lower, now):
                if places <= 0 and size <= 0:
                    break
                victims.append(victim)
                places -= 1
                size -= victim.size
        if places <= 0 and size <= 0:
            return ""
        victim = self._rival(found.band.longest(), found, ticket.key, now)
        if victim is not None and victim not in victims and places <= 1 and size <= victim.size:
            victims.append(victim)
            return ""
        return "queue_full" if places > 0 else "queue_bytes_full"

    def _stands(self, flow: Flow, now: float) -> bool:
        """Whether the newest of a flow go first."""
        return self.count > self._swamped_at if self.is_patient else flow.is_standing(now)

    def _least_hopeful(self, band: Band, now: float) -> Iterator[Ticket]:
        """The tickets of a band, the least hopeful first: the oldest when it stands, else the newest."""
        oldest = next(iter(band.order), None)
        is_standing = oldest is not None and isinstance(oldest.flow, Flow) and self._stands(oldest.flow, now)
        return iter(band.order) if is_standing else reversed(band.order)

    def _rival(self, longest: Flow | None, found: ClassQueue, key: str, now: float) -> Ticket | None:
        """Who has to go from the longest flow, if that is longer than the arrival's: fairness decides."""
        if longest is None:
            return None
        own = found.flows.get(key)
        length = len(own.tickets) if own is not None else 0
        if self._stands(longest, now) and len(longest.tickets) >= length:
            return next(iter(longest.tickets))  # the newest are served first, so its oldest has no hope
        if len(longest.tickets) > length + 1:
            return next(reversed(longest.tickets))
        return None

    def _unlink(self, ticket: Ticket, flow: Flow) -> None:
        ticket.flow = None
        del flow.tickets[ticket]
        found = flow.owner
        found.lengths.shrunk(flow, len(flow.tickets))
        if not flow.tickets:
            found.note_idle(flow)
        del found.band.order[ticket]
        found.count -= 1
        self.count -= 1
        self.size -= ticket.size

    def _share(self, traffic_class: TrafficClass) -> int:
        return max(1, int(self._max_length * traffic_class.max_queue_share))

    def _class(self, traffic_class: TrafficClass) -> ClassQueue:
        found = self._classes.get(traffic_class.name)
        if found is None:
            band = next((one for one in self._bands if one.number == traffic_class.band), None)
            if band is None:
                band = Band(traffic_class.band)
                self._bands.append(band)
                self._bands.sort(key=lambda one: one.number)
            found = self._classes[traffic_class.name] = ClassQueue(traffic_class, band, self._share(traffic_class))
            band.classes.append(found)
        return found

    def __repr__(self) -> str:
        return f"<Queue count={self.count}/{self._max_length} size={self.size}>"
