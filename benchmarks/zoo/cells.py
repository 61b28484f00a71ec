"""The cells: service x time x load, by name; which law holds in each, and which half it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import product
from typing import TYPE_CHECKING, Final, Literal

from benchmarks.zoo.services import UNBOUNDED, ByRoute, Endpoints, HeldBySome
from gateway.simulate.arrivals import Bursts, ClosedLoop, Poisson
from gateway.simulate.service import Mix, Sharing, Workers, constant, exponential, lognormal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from gateway.simulate.arrivals import Arrivals
    from gateway.simulate.clock import EventClock
    from gateway.simulate.service import Service, Work

Half = Literal["tune", "report"]

# More requests than these are not simulated.
MOST: Final = 60_000

# Share of its capacity from which a service with a knee is over it now and then.
KNEE: Final = 0.9

BURST = 1
CONSTANT = 2
SLOWER = 3
CAPACITY_UP = 4
NEAR = 5
FEW = 6
SHARED = 7
THRASH = 8
TRIALS = 9
ROUTES = 10
CHANCE = 11
TURNS = 12
HELD = 13
WHY: Final[dict[int, str]] = {
    0: "",
    BURST: "a burst before the first answer: nothing is known, only the start value decides",
    CONSTANT: "nothing is seen before S has passed, and by then five times the workers are in",
    SLOWER: "a service that slows down looks like a line until two limits were tried",
    CAPACITY_UP: "more capacity at L = c moves neither rate nor latency: only trials upward tell",
    NEAR: "0.9 and 1.5 of one slow worker differ by 0.03 nats a request",
    FEW: "a few dozen answers in all",
    THRASH: "not solved: what was let in before the line was seen thrashes, and drains at a part of the rate",
    TRIALS: "the limit is found, and a trial of another takes one or two S, of which there are few",
    ROUTES: "one request in fifty takes a thousand times as long, and says nothing until it ends",
    CHANCE: "at 0.9 a line comes by chance and looks like overload while it lasts",
    TURNS: "a quarter goes to the slow endpoint whatever one limit for all four is",
    HELD: "clients hold a worker after its answer, which latencies do not show",
    SHARED: "two services behind one limit: the slow one takes the places of the other",
}


@dataclass(frozen=True)
class Cell:
    """One service under one load. ``usual`` is S in seconds, ``slots`` what it serves at once."""

    name: str
    usual: float
    slots: int
    work: Callable[[Random], Work]
    service: Callable[[EventClock, Work], Service]
    arrivals: Callable[[Random], tuple[Arrivals, ...]]
    until: float
    law: Literal["harm", "good"]
    requests: float
    changes: tuple[tuple[float, Callable[[Service], None]], ...] = ()
    streams: dict[str, float] = field(default_factory=dict)
    restart: float = 0.0
    why: int = 0

    @property
    def early(self) -> float:
        """Seconds until the limit must have found itself."""
        return max(2.0, 5 * self.usual)

    @property
    def half(self) -> Half:
        """Parameters are chosen on one half, and the other is reported."""
        return "tune" if sha256(self.name.encode()).digest()[0] % 2 else "report"

    @property
    def give_up(self) -> float:
        """Seconds for which a client waits."""
        return max(1.0, 10 * self.usual)

    @property
    def useful(self) -> float:
        """Seconds after which an answer is no goodput."""
        return max(0.5, 5 * self.usual)


def _constant(rng: Random, mean: float) -> Work:
    del rng
    return constant(mean)


def _heavy(rng: Random, mean: float) -> Work:
    return lognormal(rng, mean, cv=3.0)


def _routes(rng: Random, mean: float) -> Work:
    """Two routes a thousand times apart; one request in fifty is of the slow one."""
    fast = mean / (0.98 + 0.02 * 1000)
    return Mix(rng, {"fast": (0.98, exponential(rng, fast)), "slow": (0.02, exponential(rng, 1000 * fast))})


DRAWS: Final[dict[str, Callable[[Random, float], Work]]] = {
    "constant": _constant,
    "exponential": exponential,
    "lognormal": lognormal,
    "heavy": _heavy,
    "routes": _routes,
}


def _seconds(usual: float) -> str:
    return f"{usual * 1000:g} ms" if usual < 1 else f"{usual:g} s"


def _work(draw: str, usual: float) -> Callable[[Random], Work]:
    return lambda rng: DRAWS[draw](rng, usual)


def _workers(count: int, backlog: int | None = None) -> Callable[[EventClock, Work], Service]:
    return lambda clock, work: Workers(clock, work, count, backlog=backlog)


def _until(usual: float, rate: float) -> float:
    """Long enough for the late span to have a few hundred answers, if they come in ten S."""
    early = max(2.0, 5 * usual)
    return early + min(max(3.0, 5 * usual, 300 / rate), max(3.0, 15 * usual))


def _open(*steps: tuple[float, float]) -> Callable[[Random], tuple[Arrivals, ...]]:
    return lambda rng: (Poisson(rng, *steps),)


def _loop(users: int, think: float) -> Callable[[Random], tuple[Arrivals, ...]]:
    return lambda rng: (ClosedLoop(rng, users, think),)


def _poisson_cell(  # noqa: PLR0917 - each is one fact about it
    service: str, make: Callable[[EventClock, Work], Service], slots: int, draw: str, usual: float, load: float
) -> Cell:
    capacity = slots / usual
    rate = load * capacity
    until = _until(usual, min(rate, capacity))
    why = 0
    if load > 1:
        if slots * usual <= 4 * usual and usual >= 0.3:
            why = FEW
        elif slots == 1 and load < 2:
            why = NEAR
        elif draw == "constant" and load >= 5:
            why = CONSTANT
        elif draw == "routes":
            why = ROUTES
        elif usual >= 3.0:
            why = TRIALS
    elif load >= 0.9:
        why = ROUTES if draw == "routes" else CHANCE
    if service.startswith("one slow endpoint") and load > 0.2:
        why = TURNS
    if service.startswith("knee") and load >= KNEE:
        why = THRASH
    return Cell(
        f"{service}, {_seconds(usual)} {draw}, {load:g}x",
        usual, slots, _work(draw, usual), make, _open((0.0, rate)), until,
        "good" if load > 1 else "harm", rate * until, why=why,
    )  # fmt: skip


def _workers_cells() -> Iterator[Cell]:
    for slots, usual, draw, load in product(
        (1, 4, 8, 64, 500), (0.001, 0.02, 0.3, 3.0, 10.0, 60.0), DRAWS, (0.1, 0.5, 0.9, 1.5, 5.0)
    ):
        if draw != "exponential" and (slots not in {8, 64} or usual not in {0.02, 3.0}):
            continue  # the distribution is looked at where the rest is usual
        yield _poisson_cell(f"{slots} workers", _workers(slots), slots, draw, usual, load)


def _unbounded_cells() -> Iterator[Cell]:
    """An unbounded service of which this many are in use, by what comes."""
    for used, usual, draw in product((10, 100, 500, 2000), (0.001, 0.02, 0.3, 3.0, 10.0, 60.0), DRAWS):
        if draw in {"lognormal", "routes"} and usual not in {0.02, 3.0}:
            continue
        rate = used / usual
        until = _until(usual, rate)
        yield Cell(
            f"unbounded, {_seconds(usual)} {draw}, {used} in use", usual, UNBOUNDED, _work(draw, usual),
            _workers(UNBOUNDED), _open((0.0, rate)), until, "harm", rate * until, why=BURST if used > 100 else 0,
        )  # fmt: skip
    for users, usual, draw in product(
        (10, 100, 1000), (0.001, 0.02, 0.3, 3.0, 10.0, 60.0), ("constant", "exponential")
    ):
        think = max(0.05, 0.2 * usual)
        until = _until(usual, users / (usual + think))
        yield Cell(
            f"unbounded, {_seconds(usual)} {draw}, {users} clients", usual, UNBOUNDED, _work(draw, usual),
            _workers(UNBOUNDED), _loop(users, think), until, "harm", users * until / (usual + think),
            why=BURST if users > 100 else 0,
        )  # fmt: skip


def _loop_cells() -> Iterator[Cell]:
    for slots, users, usual in product((1, 8, 64, 500), (10, 100, 1000), (0.02, 0.3, 3.0, 10.0)):
        think = max(0.05, 0.2 * usual)
        rate = min(users / (usual + think), slots / usual)
        until = _until(usual, rate)
        law: Literal["harm", "good"] = "harm" if users <= slots else "good"
        why = (FEW if slots <= 4 and usual >= 0.3 else 0) if law == "good" else 0
        if not why and users >= 100:
            why = BURST
        yield Cell(
            f"{slots} workers, {_seconds(usual)} exponential, {users} clients", usual, slots,
            _work("exponential", usual), _workers(slots), _loop(users, think), until, law, rate * until * 2, why=why,
        )  # fmt: skip


def _special_cells() -> Iterator[Cell]:
    for usual, load in product((0.02, 0.3, 3.0), (0.5, 0.9, 1.5, 5.0)):
        for slots in (8, 64):
            yield _poisson_cell(
                f"{slots} workers, own backlog", _workers(slots, 2 * slots), slots, "exponential", usual, load
            )
        knee: Callable[[EventClock, Work], Service] = lambda clock, work: Sharing(clock, work, 16, knee=16)  # noqa: E731
        yield _poisson_cell("knee at 16", knee, 16, "exponential", usual, load)

        def endpoints(clock: EventClock, work: Work) -> Service:
            slow = Workers(clock, work, 4)
            slow.hurry(0.2)
            return Endpoints([slow, *(Workers(clock, work, 4) for _ in range(3))])

        # turns give each a quarter: the slow one is full at 4 x 0.2 x 4 of what all four could do
        share = load if load <= 1 else load * 4
        yield _poisson_cell("one slow endpoint of four", endpoints, 16, "exponential", usual, share * 0.2)
        yield _pool(usual, load)
        yield _slow_clients(usual, load)
    for usual in (0.02, 0.3, 3.0):
        yield from _changing_cells(usual)
        yield from _stream_cells(usual)


def _pool(usual: float, load: float) -> Cell:
    """Half of the requests need a pool of eight."""
    rate = load * 8 / usual
    until = _until(usual, 2 * rate)

    def work(rng: Random) -> Work:
        return Mix(rng, {"pool": (0.5, exponential(rng, usual)), "free": (0.5, exponential(rng, usual))})

    def service(clock: EventClock, work: Work) -> Service:
        return ByRoute(clock, work, {"pool": Workers(clock, work, 8)})

    return Cell(
        f"pool of 8 behind half, {_seconds(usual)}, {load:g}x", usual, 16, work, service, _open((0.0, 2 * rate)), until,
        "good" if load > 1 else "harm", 2 * rate * until, why=SHARED if load > 1 else 0,
    )  # fmt: skip


def _slow_clients(usual: float, load: float) -> Cell:
    """Sixteen synchronous workers; a fifth of the clients read ten times as long as the work takes."""
    mean = usual * (0.8 + 0.2 * 10)
    rate = load * 16 / mean
    until = _until(mean, min(rate, 16 / mean))

    def work(rng: Random) -> Work:
        return HeldBySome(exponential(rng, usual), rng, 0.2, 10.0)

    return Cell(
        f"16 workers held by slow clients, {_seconds(usual)}, {load:g}x", mean, 16, work, _workers(16),
        _open((0.0, rate)), until, "good" if load > 1 else "harm", rate * until, why=HELD if load >= 0.9 else 0,
    )  # fmt: skip


def _resize(count: int, service: Service) -> None:
    service.resize(count)


def _hurry(speed: float, service: Service) -> None:
    service.hurry(speed)


def _changing_cells(usual: float) -> Iterator[Cell]:
    early = max(2.0, 5 * usual)
    work = _work("exponential", usual)
    name = _seconds(usual)
    rate = 8 / usual

    def cell(title: str, law: Literal["harm", "good"], steps: tuple[tuple[float, float], ...], **more: object) -> Cell:
        slots = int(str(more.pop("slots", 8)))
        until = 3 * early
        requests = sum(
            rate * (end - begin) for (begin, rate), (end, _) in zip(steps, (*steps[1:], (until, 0.0)), strict=True)
        )
        return Cell(
            f"{title}, {name}",
            usual,
            slots,
            work,
            _workers(slots),
            _open(*steps),
            until,
            law,
            requests,
            **more,  # type: ignore[arg-type]
        )

    yield cell("step x10 to 2x, 8 workers", "good", ((0.0, 0.2 * rate), (early, 2 * rate)))
    yield cell("step x10 to 0.9x, 8 workers", "harm", ((0.0, 0.09 * rate), (early, 0.9 * rate)))
    yield cell("step x10, unbounded", "harm", ((0.0, 20 / usual), (early, 200 / usual)), slots=UNBOUNDED)
    yield cell(
        "autoscaled 8 to 32 workers, 2x", "good", ((0.0, 2 * rate),), why=CAPACITY_UP,
        changes=((early, partial(_resize, 32)),),
    )  # fmt: skip
    yield cell("32 to 8 workers, 2x", "good", ((0.0, 2 * rate),), slots=32, why=TRIALS if usual >= 3.0 else 0,
        changes=((early, partial(_resize, 8)),),
    )  # fmt: skip
    yield cell(
        "unbounded, three times as slow", "harm", ((0.0, 50 / usual),), slots=UNBOUNDED, why=SLOWER,
        changes=((early, partial(_hurry, 1 / 3)),),
    )  # fmt: skip
    yield cell(
        "cold start at a tenth, 8 workers, 0.5x", "good", ((0.0, 0.5 * rate),), why=FEW if usual >= 0.3 else 0,
        changes=((0.0, partial(_hurry, 0.1)), (early, partial(_hurry, 1.0))),
    )  # fmt: skip
    yield cell("restart under 0.9x, 8 workers", "harm", ((0.0, 0.9 * rate),), restart=early)
    yield cell(
        "restart under 5x, 8 workers", "good", ((0.0, 5 * rate),), restart=early, why=TRIALS if usual >= 3.0 else 0
    )
    yield cell("restart, unbounded", "harm", ((0.0, 300 / usual),), slots=UNBOUNDED, restart=early)
    for count, slots in ((90, UNBOUNDED), (400, UNBOUNDED), (64, 64)):
        yield Cell(
            f"bursts of {count} from idle, {'unbounded' if slots == UNBOUNDED else f'{slots} workers'}, {name}", usual,
            slots, work, _workers(slots),
            partial(_bursts, count, tuple(early * k / 2 for k in range(6))), 3 * early, "harm",
            6 * count, why=BURST if count > 100 else 0,
        )  # fmt: skip


def _bursts(count: int, instants: tuple[float, ...], rng: Random) -> tuple[Arrivals, ...]:
    del rng
    return (Bursts(count, instants),)


def _stream_cells(usual: float) -> Iterator[Cell]:
    """Half of all requests are streams, long polls or both, before an unbounded service and before workers."""
    early = max(2.0, 5 * usual)
    until = 3 * early
    name = _seconds(usual)
    long = max(30.0, 100 * usual)

    def mixed(rng: Random) -> Work:
        return Mix(rng, {"page": (0.5, exponential(rng, usual)), "stream": (0.5, exponential(rng, usual))})

    def polls(rng: Random) -> Work:
        return Mix(rng, {"page": (0.5, exponential(rng, usual)), "poll": (0.5, constant(min(long, until / 2)))})

    rate = 60 / usual if usual < 1 else 30 / usual
    yield Cell(
        f"half event streams, unbounded, {name}", usual, UNBOUNDED, mixed, _workers(UNBOUNDED), _open((0.0, rate)),
        until, "harm", rate * until, streams={"stream": long},
    )  # fmt: skip
    rate = min(rate, 200)
    yield Cell(
        f"half long polls, unbounded, {name}", usual, UNBOUNDED, polls, _workers(UNBOUNDED), _open((0.0, rate)), until,
        "harm", rate * until,
    )  # fmt: skip
    for load in (0.9, 2.0):
        rate = load * 8 / usual
        yield Cell(
            f"half event streams, 8 workers, {name}, {load:g}x", usual, 8, mixed, _workers(8), _open((0.0, rate)),
            until, "good" if load > 1 else "harm", rate * until, streams={"stream": long},
            why=TRIALS if load > 1 and usual >= 3.0 else 0,
        )  # fmt: skip


def all_cells() -> dict[str, Cell]:
    """Every cell that can be simulated, by name."""
    cells = (*_workers_cells(), *_unbounded_cells(), *_loop_cells(), *_special_cells())
    return {cell.name: cell for cell in cells if cell.requests <= MOST}
