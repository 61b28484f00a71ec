"""Whatever clients and upstream do: what was admitted finishes, what waits leaves, and all of it is counted once."""

from __future__ import annotations

import asyncio
import random
import select
from collections import Counter
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from gateway.admission.gate import Gate
from gateway.admission.queue import Flow
from gateway.proxy.plane import TICK
from gateway.proxy.strain import StrainGauge
from tests.support.client import Client, Ended, connected
from tests.support.plane import HASTY, RunningGateway, running_gateway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from gateway.http.downstream import ClientConnection
    from gateway.http.heads import RequestHead
    from gateway.telemetry.access import AccessRecord
    from tests.support.origin import Exchange, Origin


@pytest.fixture(autouse=True)
def _places_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many are let in is what is counted here; what gives its place back is counted in the chaos of places."""
    monkeypatch.setattr("gateway.proxy.plane.LOOK", 1e9)


LIMIT = 4
QUEUE = 6
MAX_WAIT = 0.04
CONFIG: dict[str, Any] = {
    "gateway": HASTY["gateway"],
    "upstreams": {
        "origin": {
            **HASTY["upstreams"]["origin"],
            "limit": {"kind": "fixed", "initial": LIMIT},
            "queue": {"max_length": QUEUE, "max_wait": "40ms", "max_bytes": "200KiB"},
        }
    },
}
# Longer than the gateway needs to tell the origin that it has left.
NOTICED = 0.05
SHED = {"queue_full", "queue_bytes_full", "queue_share_full", "queue_delay", "queue_timeout", "evicted"}
SHED |= {"deadline_unreachable", "self_protection"}
OK = b"HTTP/1.1 200 OK\r\n"


class Moody:
    """An origin that answers at once, late or drop by drop, answers early, resets, or says nothing at all.

    ``standing`` is the most requests that were under way together for longer than it takes to notice that
    somebody left.
    """

    def __init__(self, origin: Origin, rng: random.Random) -> None:
        self.active: dict[Exchange, None] = {}
        self.standing = 0
        self.begun = 0
        self._rng = rng
        self._looks: set[asyncio.Task[None]] = set()
        self.on_begin: Callable[[], None] = lambda: None
        origin.default = self.behave

    async def behave(self, exchange: Exchange) -> None:
        key = _Key(exchange)
        self.active[key] = None
        self.begun += 1
        self.on_begin()
        task = asyncio.create_task(self._look(dict(self.active)))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)
        try:
            await self._answer(exchange)
        finally:
            self.active.pop(key, None)

    async def settle(self) -> None:
        while self._looks:
            await asyncio.gather(*self._looks)

    async def _look(self, before: dict[_Key, None]) -> None:
        await asyncio.sleep(NOTICED)
        still = [key for key in before if key in self.active and not _has_left(key.exchange)]
        self.standing = max(self.standing, len(still))

    async def _answer(self, exchange: Exchange) -> None:
        rng = self._rng
        mood = rng.random()
        if mood < 0.04:
            exchange.wire.reset()
        elif mood < 0.08:
            await exchange.wire.send(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")
            exchange.wire.close()
        elif mood < 0.11:
            await exchange.read_body()
            await exchange.wait_until_abandoned()
        else:
            await exchange.read_body()
            await asyncio.sleep(rng.choice((0.0, 0.002, 0.01, 0.03, 0.08)))
            if mood < 0.16:
                await exchange.wire.send(OK + b"Content-Length: 100\r\n\r\nonly a part")
                exchange.wire.reset()
            elif mood < 0.3:
                await exchange.wire.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(rng.randrange(1, 12)):
                    await exchange.wire.send(b"3\r\nabc\r\n")
                    await asyncio.sleep(0.004)
                await exchange.wire.send(b"0\r\n\r\n")
            elif mood < 0.4:
                await exchange.answer(b"sorry", b"503 Service Unavailable")
            else:
                await exchange.answer(b"x" * rng.choice((0, 10, 200_000)))


class _Key:
    """An exchange under a name of its own, because data classes compare by value."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange


def _has_left(exchange: Exchange) -> bool:
    number = exchange.wire.socket.fileno()
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLRDHUP)
    return bool(poll.poll(0))


class Books:
    """An independent account of everything that happens in one gateway: what began, what ended, and how."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.begun = 0
        self.records: list[AccessRecord] = []
        self.decisions: list[Any] = []
        self.most_in_flight = 0
        self.longest_queue = 0
        self.idle_places = 0
        door = gateway.plane.door
        self._begin = door.begin
        door.begin = self._on_begin
        gateway.plane.access_log = self  # type: ignore[assignment]

    def wants(self, _status: int, _reason: str, _target: str = "") -> bool:
        return True

    def write(self, record: AccessRecord) -> None:
        self.records.append(record)
        if len(self.records) % 50 == 0:
            self.decisions += self.gateway.plane.take_decisions()

    def close(self) -> None:
        self.decisions += self.gateway.plane.take_decisions()

    def _on_begin(self, client: ClientConnection, head: RequestHead, started_at: float) -> None:
        self.begun += 1
        self._begin(client, head, started_at)
        self.look()

    def look(self) -> None:
        """Note how full it is; to be called between events, when everything must be consistent."""
        gate = self.gateway.plane.gates["origin"]
        self.most_in_flight = max(self.most_in_flight, gate.in_flight, self.gateway.in_flight)
        self.longest_queue = max(self.longest_queue, gate.queue.count)
        if gate.queue.count and gate.in_flight < gate.limit.value:
            self.idle_places += 1

    def verify(self) -> None:
        """Everything that began has ended and was counted once, under one name."""
        self.close()
        plane = self.gateway.plane
        snapshot = self.gateway.snapshot()
        gate, counted = plane.gates["origin"], snapshot.gates["origin"]
        assert (gate.in_flight, gate.queue.count, gate.queue.size) == (0, 0, 0)
        assert snapshot.in_flight == {"origin": 0}
        assert [e.in_flight for group in plane._groups.values() for e in group.endpoints] == [0]
        assert (counted.queued, counted.queued_bytes) == ({"default": 0}, 0)

        requests = sum(n for route, *_, n in snapshot.requests if route == "all")
        timed = (snapshot.request_seconds["all"], *snapshot.request_seconds_apart.get("all", {}).values())
        assert requests == self.begun == len(self.records) == sum(sum(each.counts) for each in timed)
        assert not [row for row in snapshot.requests if row[0] != "all"]

        admitted = sum(counted.waits["default"].counts)
        assert admitted == sum(snapshot.upstream_seconds["origin"].counts)
        assert admitted == sum(record.attempts > 0 for record in self.records)

        ends = Counter(record.reason for record in self.records if not record.attempts)
        shed = Counter({reason: n for _, reason, _, n in counted.shed})
        assert set(shed) <= SHED
        assert shed == Counter({reason: n for reason, n in ends.items() if reason in SHED})
        assert shed == Counter(decision.reason for decision in self.decisions)
        assert set(ends) - SHED <= {"client_gone", "request_timeout", "body_timeout", "deadline_exceeded"}
        assert self.begun == admitted + ends.total()

        errors = Counter(record.reason for record in self.records if record.reason)
        assert errors == self.gateway.errors()


@contextmanager
def worst_lag(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The lateness of the loop as the gateway itself sees it."""
    lags = [0.0]
    note = StrainGauge.note_lag

    def noted(gauge: StrainGauge, seconds: float) -> None:
        lags.append(seconds)
        note(gauge, 0.0)  # or the test's own load would be taken for strain

    monkeypatch.setattr(StrainGauge, "note_lag", noted)
    yield lags
    monkeypatch.undo()


class Crowd:
    """Clients that do what they like; ``sent`` requests went out whole or in part, ``answered`` came back whole."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self._port = port
        self._rng = rng
        self.sent = 0
        self.answered = 0
        self.posts = 0
        self._ways: list[Callable[[Client], Awaitable[None]]] = [
            self._waits, self._waits, self._waits, self._leaves, self._leaves, self._leaves_politely,
            self._is_in_a_hurry, self._pipelines, self._posts, self._posts, self._posts_and_leaves,
            self._expects, self._expects_and_leaves, self._stalls,
        ]  # fmt: skip

    async def rush(self, clients: int, rounds: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._one(rounds))

    async def _one(self, rounds: int) -> None:
        for _ in range(rounds):
            async with connected(self._port) as client:
                with suppress(Ended):
                    await self._rng.choice(self._ways)(client)

    async def _ask(self, client: Client, fields: bytes = b"", method: bytes = b"GET") -> None:
        self.sent += 1
        await client.send(method + b" /case HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")

    async def _hear(self, client: Client) -> None:
        answer = await client.answer()
        self.answered += answer.is_complete

    def _soon(self) -> Awaitable[None]:
        return asyncio.sleep(self._rng.choice((0.0, 0.0, 0.003, 0.02, 0.06)))

    def _case(self) -> bytes:
        self.posts += 1
        return b"X-Case: %d\r\n" % self.posts

    async def _waits(self, client: Client) -> None:
        for _ in range(self._rng.randrange(1, 4)):
            await self._ask(client)
            await self._hear(client)

    async def _leaves(self, client: Client) -> None:
        await self._ask(client)
        await self._soon()
        client.reset()

    async def _leaves_politely(self, client: Client) -> None:
        await self._ask(client)
        await self._soon()
        client.half_close()
        await client.rest()

    async def _is_in_a_hurry(self, client: Client) -> None:
        await self._ask(client, b"X-Request-Timeout-Ms: %d\r\n" % self._rng.choice((1, 20, 60)))
        await self._hear(client)

    async def _pipelines(self, client: Client) -> None:
        count = self._rng.randrange(2, 7)
        self.sent += count
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        for _ in range(self._rng.randrange(count + 1)):
            await self._hear(client)
        if self._rng.random() < 0.5:
            client.reset()

    async def _posts(self, client: Client) -> None:
        size = self._rng.choice((1, 5_000, 100_000, 400_000))
        await self._ask(client, self._case() + b"Content-Length: %d\r\n" % size, b"POST")
        await client.send(b"x" * size)
        await self._hear(client)

    async def _posts_and_leaves(self, client: Client) -> None:
        await self._ask(client, self._case() + b"Transfer-Encoding: chunked\r\n", b"POST")
        for _ in range(self._rng.randrange(1, 30)):
            if not await client.send(b"2000\r\n" + b"x" * 8192 + b"\r\n"):
                return
        await self._soon()
        client.reset()

    async def _expects(self, client: Client) -> None:
        await self._ask(client, self._case() + b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"POST")
        if await client.wire.has_more() and client.wire.received.startswith(b"HTTP/1.1 100"):
            await client.send(b"hello")
        await self._hear(client)

    async def _expects_and_leaves(self, client: Client) -> None:
        await self._ask(client, self._case() + b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"POST")
        await self._soon()
        client.reset()

    async def _stalls(self, client: Client) -> None:
        await self._ask(client, self._case() + b"Content-Length: 500\r\n", b"POST")
        await client.send(b"only this")
        await self._hear(client)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_chaos_is_counted_to_the_last_request(origin: Origin, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """After a storm of rude clients before a moody origin nothing is left, nothing is lost, no bound was broken."""
    rng = random.Random(seed)
    moody = Moody(origin, rng)
    with worst_lag(monkeypatch) as lags:
        async with running_gateway(origin.port, CONFIG) as gateway:
            books = Books(gateway)
            moody.on_begin = books.look
            crowd = Crowd(gateway.port, rng)
            await crowd.rush(clients=30, rounds=16)
            await gateway.settle()
            await moody.settle()
            books.verify()
    assert crowd.answered <= books.begun <= crowd.sent
    cases = Counter(request.value(b"X-Case") for request in origin.requests if request.method == b"POST")
    assert set(cases.values()) == {1}, "a POST was sent twice"
    assert moody.begun <= sum(record.attempts for record in books.records)
    assert origin.dirty == []

    assert 1 < moody.standing <= LIMIT
    assert books.most_in_flight == LIMIT
    assert books.longest_queue == QUEUE
    assert books.idle_places == 0, "somebody waited while there was room"
    ends = Counter(record.reason for record in books.records)
    assert {"queue_full", "client_gone"} <= set(ends), "the storm was too mild to say anything"
    assert {"queue_delay", "queue_timeout"} & set(ends), "the storm was too mild to say anything"
    longest = MAX_WAIT + 3 * TICK + 2 * max(lags)
    assert max(d.observed for d in books.decisions if d.reason in {"queue_timeout", "queue_delay"}) <= longest
    assert max(r.seconds - r.upstream_seconds for r in books.records if r.attempts) <= longest


async def test_polite_clients_are_all_counted_and_the_origin_never_sees_more_than_the_limit(origin: Origin) -> None:
    """Where nobody leaves, every request has one answer and one count, and the limit holds at every instant."""
    active = most = 0

    async def behave(exchange: Exchange) -> None:
        nonlocal active, most
        await exchange.read_body()
        active += 1
        most = max(most, active)
        await asyncio.sleep(rng.choice((0.0, 0.001, 0.01)))
        active -= 1
        await exchange.answer(b"ok")

    origin.default = behave
    rng = random.Random(4)
    statuses: Counter[int] = Counter()

    async def ask(port: int, rounds: int) -> None:
        async with connected(port) as client:
            for _ in range(rounds):
                await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
                statuses[(await client.answer()).status] += 1

    async with running_gateway(origin.port, CONFIG) as gateway:
        books = Books(gateway)
        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(ask(gateway.port, 25))
        await gateway.settle()
        books.verify()
    assert statuses.total() == books.begun == 16 * 25
    assert set(statuses) == {200, 503}
    assert len(origin.requests) == statuses[200]
    assert most == LIMIT


async def test_nobody_waits_longer_than_allowed(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a request that never ends everybody hears after the longest wait, within two ticks and the loop's lag."""
    origin.default = lambda exchange: exchange.wait_until_abandoned()
    config: dict[str, Any] = {
        "upstreams": {
            "origin": {
                "limit": {"kind": "fixed", "initial": 1},
                "queue": {"max_wait": "40ms"},
                "timeouts": {"head": "20s"},
            }
        }
    }

    async def ask(port: int, after: float) -> None:
        await asyncio.sleep(after)
        async with connected(port) as client:
            await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.json["reason"]) == (503, "queue_timeout")

    with worst_lag(monkeypatch) as lags:
        async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as first:
            books = Books(gateway)
            await first.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
            await _until(lambda: origin.requests)
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(ask(gateway.port, 0.02 * number))
            first.reset()
            await gateway.settle()
            books.close()
            waits = [decision.observed for decision in books.decisions]
    assert len(waits) == 20
    assert min(waits) >= MAX_WAIT
    assert max(waits) <= MAX_WAIT + 3 * TICK + 2 * max(lags)


async def test_a_head_that_comes_slowly_has_neither_waited_nor_made_the_upstream_slow(origin: Origin) -> None:
    """The time that a client takes over its own head counts neither as a wait nor as latency, so none can feign them."""
    config: dict[str, Any] = {
        "gateway": {"timeouts": {"head": "20s"}},
        "upstreams": {
            "origin": {
                "limit": {"kind": "fixed", "initial": 1},
                "queue": {"max_wait": "600ms"},
                "timeouts": {"head": "20s"},
            }
        },
    }
    steps = Steps(origin, keep=True)
    async with (
        running_gateway(origin.port, config) as gateway,
        connected(gateway.port) as slow,
        connected(gateway.port) as other,
    ):
        gate = gateway.plane.gates["origin"]
        await other.send(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
        await slow.send(b"GET /slow HTTP/1.1\r\nHo")
        await asyncio.sleep(0.7)
        await slow.send(b"st: a\r\n\r\n")
        await _until(lambda: gate.queue.count)
        await asyncio.sleep(2 * TICK)
        assert gate.queue.count == 1, "turned away for a wait that was its own"
        steps.held[0][1].set()
        assert (await other.answer()).body == b"/first"
        learned = gate.latency
        await _until(lambda: steps.held)
        steps.held[0][1].set()
        assert (await slow.answer()).body == b"/slow"
        assert gate.latency < learned, "the slow head was taken for a slow upstream"


class Steps:
    """An origin that answers the oldest request when it is told to; ``keep`` says whether connections live on."""

    def __init__(self, origin: Origin, *, keep: bool) -> None:
        self.held: list[tuple[bytes, asyncio.Event]] = []
        self._fields = b"" if keep else b"Connection: close\r\n"
        origin.default = self.behave

    async def behave(self, exchange: Exchange) -> None:
        entry = (exchange.request.target, asyncio.Event())
        self.held.append(entry)
        leaving = asyncio.create_task(exchange.wire.wait_for_end())
        going = asyncio.create_task(entry[1].wait())
        await asyncio.wait((leaving, going), return_when=asyncio.FIRST_COMPLETED)
        is_gone = leaving.done()
        for task in (leaving, going):
            task.cancel()
        await asyncio.gather(leaving, going, return_exceptions=True)
        self.held.remove(entry)
        if is_gone:
            exchange.request.is_abandoned = True
            exchange.wire.close()
            return
        await exchange.answer(exchange.request.target, fields=self._fields)
        if self._fields:
            exchange.wire.close()


async def _until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "closed"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_leaver_never_swallows_a_wake_up(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, seed: int, *, keep: bool
) -> None:
    """A client may leave just as its turn comes: the next is served at once, by no help of the clock."""
    monkeypatch.setattr(Gate, "tick", lambda _gate, _now: None)
    monkeypatch.setattr(Flow, "is_standing", lambda _flow, _now: False)  # so that it is known who comes next
    rng = random.Random(seed)
    steps = Steps(origin, keep=keep)
    config: dict[str, Any] = {
        "upstreams": {
            "origin": {
                "limit": {"kind": "fixed", "initial": 1},
                "queue": {"max_wait": "50s"},
                "timeouts": {"head": "50s"},
            }
        }
    }
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        gate = gateway.plane.gates["origin"]
        waiting: dict[bytes, Client] = {}
        for number in range(40):
            client = await stack.enter_async_context(connected(gateway.port))
            name = b"/%d" % number
            await client.send(b"GET " + name + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            waiting[name] = client
            await _until(lambda: gate.queue.count + gate.in_flight == len(waiting))
        served: list[bytes] = []
        while waiting:
            await _until(lambda: steps.held)
            now, go = steps.held[0]
            names = list(waiting)
            client = waiting.pop(now)
            is_served = rng.random() < 0.6
            # Of the next two one leaves in the very turn of the loop in which the place becomes free.
            leavers = [name for name in names[1:3] if rng.random() < 0.5]
            acts: list[Callable[[], None]] = [waiting.pop(name).reset for name in leavers]
            acts.append(go.set if is_served else client.reset)
            rng.shuffle(acts)
            for act in acts:
                act()
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
            if is_served:
                assert (await client.answer()).body == now
                served.append(now)
            await _until(lambda: not steps.held or steps.held[0][0] != now)  # noqa: B023
        await gateway.settle()
        assert (gate.in_flight, gate.queue.count, gate.queue.size) == (0, 0, 0)
    assert served == sorted(served, key=lambda name: int(name[1:]))
    assert len(served) > 5
