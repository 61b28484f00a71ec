"""Sums over workers that come and go never fall."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.errors import REASONS
from gateway.telemetry.counters import Counters, UpstreamCounters
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.reading import ProcessReading, Reading, ScalingReading
from gateway.telemetry.snapshot import (
    NO_ROUTE,
    EndpointSnapshot,
    HistogramSnapshot,
    ResilienceSnapshot,
    Snapshot,
)
from gateway.telemetry.totals import Totals, added


def counted(counters: Counters, open_now: int = 1) -> Snapshot:
    return counters.snapshot([("client", "idle", open_now)])


def flat(snapshot: Snapshot) -> dict[object, float]:
    """All counters of a snapshot by some key."""
    series: dict[object, float] = {"accepted": snapshot.accepted, "opened": snapshot.upstream_opened, **snapshot.bytes}
    series.update({tuple(key): n for *key, n in snapshot.requests})
    series.update({("error", *key): n for *key, n in snapshot.errors})
    apart = {(name, word): each for name, by in snapshot.request_seconds_apart.items() for word, each in by.items()}
    histograms: dict[object, HistogramSnapshot] = {**snapshot.request_seconds, **snapshot.upstream_seconds, **apart}
    for name, histogram in histograms.items():
        series.update({(name, at): n for at, n in enumerate(histogram.counts)})
        series[name, "total"] = histogram.total
    return series


@given(st.lists(st.tuples(st.sampled_from(["work", "report", "die"]), st.integers(0, 2)), max_size=60))
def test_no_counter_ever_falls(story: list[tuple[str, int]]) -> None:
    """Whatever workers do, each sum is at least what it was, and at most what was really counted."""
    totals = Totals()
    workers = {number: Counters() for number in range(3)}
    seen: dict[object, float] = {}
    worked = 0
    for step, number in story:
        if step == "work":
            workers[number].route("web").count("GET", 200, 0.02)
            workers[number].route("web").count("GET", 503, 0.3, "queue_full")
            workers[number].route("web").count_error("client_gone")
            workers[number].upstream("app").seconds.observe(0.5)
            workers[number].accepted += 1
            workers[number].client_in += 10
            worked += 1
        elif step == "report":
            totals.update(number, counted(workers[number]))
        else:
            totals.retire(number)
            workers[number] = Counters()
        now = flat(totals.sum())
        assert all(now[key] >= value for key, value in seen.items())
        seen = now
    assert seen.get("accepted", 0) <= worked
    assert seen.get("client_in", 0) == 10 * seen.get("accepted", 0)


LOADS = ("service_time", "service_squares", "arrival_steps", "queued_time", "in_flight_time")


def read(counters: UpstreamCounters, now: float) -> Snapshot:
    load, seconds = counters.read_load(now, 0.0), counters.seconds
    return Snapshot(
        loads={"app": load}, upstream_seconds={"app": HistogramSnapshot(list(seconds.counts), seconds.total)}
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["work", "tunnel", "stream", "report", "die"]), st.integers(0, 2), st.floats(1e-4, 1e3)
        ),
        max_size=60,
    )
)
@example([step for each in range(1, 9) for step in (("work", 0, 0.1), ("tunnel", 0, each / 7), ("report", 0, 1.0))])
@example([("work", 0, 0.1), ("report", 0, 1.0), ("work", 1, 0.2), ("report", 1, 1.0), ("die", 0, 1.0), ("die", 1, 1.0)])
def test_no_sum_of_times_falls_by_rounding(story: list[tuple[str, int, float]]) -> None:
    """What signals and `rate()` take differences of: a worker that dies, or a stream that is work again, takes nothing."""
    totals, now = Totals(), 1e5
    workers = {number: UpstreamCounters() for number in range(3)}
    seen = dict.fromkeys((*LOADS, "seconds"), 0.0)
    for step, number, seconds in story:
        one, now = workers[number], now + seconds
        if step == "work":
            one.firsts += 1
            one.seconds.observe(seconds)
            one.clock += seconds
            one.squares += seconds * seconds
            one.steps.look(seconds, now)
            one.waiting.enter(now - seconds / 3)
            one.waiting.leave(now)
        elif step == "tunnel":
            one.firsts += 1
            one.seconds.observe(seconds)
            one.end_stream(seconds)
        elif step == "stream":  # and it goes on
            one.enter_stream(now - seconds)
            one.leave_stream(now)
        elif step == "report":
            totals.update(number, read(one, now))
        else:
            totals.retire(number)
            workers[number] = UpstreamCounters()
        summed = totals.sum()
        if "app" in summed.loads:
            found = {name: getattr(summed.loads["app"], name) for name in LOADS}
            found["seconds"] = summed.upstream_seconds["app"].total
            assert all(found[name] >= seen[name] for name in seen)
            seen = found


def test_endpoints_of_dead_workers_go_after_they_were_shown() -> None:
    """A rollout's addresses leave the metrics when a scrape has had them, and those that a worker still asks stay."""
    totals = Totals()

    def crew(*urls: str) -> Snapshot:
        served = {url: EndpointSnapshot(served=5, shadow_refused=1, states={"closed": 1}) for url in ("", *urls)}
        return Snapshot(resilience={"app": ResilienceSnapshot(endpoints=served)})

    exposition = Exposition(lambda: Reading((), ("app",), totals.sum()), totals.settle, totals.forget_gone)

    def scrape() -> set[str]:
        text = exposition.answer("")[1].decode()
        return set(re.findall(r'gateway_breaker_shadow_refused_total\{endpoint="([^"]*)"', text))

    totals.update(0, crew("http://a", "http://b"))
    totals.retire(0)
    assert scrape() == scrape() == {"", "http://a", "http://b"}  # while nobody lives, nobody knows
    totals.update(0, crew("http://b", "http://c"))
    assert scrape() == {"", "http://a", "http://b", "http://c"}
    assert scrape() == {"", "http://b", "http://c"}
    assert totals.sum().resilience["app"].endpoints["http://b"].served == 10


def test_endpoints_that_nobody_asks_for_are_not_kept_for_ever() -> None:
    """Without a scrape the newest thousand that are gone stay."""
    totals = Totals()
    totals.update(9, Snapshot(resilience={"app": ResilienceSnapshot(endpoints={"": EndpointSnapshot()})}))
    for rollout in range(30):
        urls = {f"http://{rollout}.{number}": EndpointSnapshot() for number in range(100)}
        totals.update(0, Snapshot(resilience={"app": ResilienceSnapshot(endpoints=urls)}))
        totals.retire(0)
    kept = totals.sum().resilience["app"].endpoints
    assert len(kept) == 1001
    assert "http://29.99" in kept


def test_gauges_are_those_of_the_living() -> None:
    """A dead worker's connections and requests in flight vanish with it."""
    totals = Totals()
    for number in range(2):
        counters = Counters()
        counters.upstream("app").firsts = 3
        counters.accepted = 5
        totals.update(number, counted(counters, open_now=7))
    assert totals.sum().connections == [("client", "idle", 14)]
    totals.retire(0)
    total = totals.sum()
    assert (total.in_flight, total.connections, total.accepted) == ({"app": 3}, [("client", "idle", 7)], 10)
    totals.retire(1)
    assert (totals.sum().in_flight, totals.sum().connections, totals.sum().accepted) == ({}, [], 10)


def test_whether_breakers_are_open_is_known_before_anything_is_added_up() -> None:
    """A probe of readiness asks for that alone, so it does not pay for the sums of a scrape."""
    totals = Totals()
    for number, is_shut in ((0, 1), (1, 0), (2, 1)):
        snapshot = counted(Counters())
        snapshot.resilience = {"app": ResilienceSnapshot(is_shut=is_shut)}
        totals.update(number, snapshot)
    assert totals.shut("app") == 2
    assert totals.shut("other") == 0
    assert any(True for _ in totals.settle())  # all of that is still to do


def test_adding_changes_neither() -> None:
    """A sum is a new snapshot; its parts stay as they were."""
    left, right = Counters(), Counters()
    left.route("a").count("GET", 200, 0.1)
    right.route("a").count("GET", 200, 0.1)
    one, two = counted(left), counted(right)
    before = flat(one), flat(two)
    assert flat(added(one, two))["a", "GET", 200] == 2
    assert (flat(one), flat(two)) == before


def expose(snapshot: Snapshot, accept: str = "") -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    reading = Reading(("web",), ("app",), snapshot, restarts=2, processes={0: ProcessReading(1, 2.0, 3)}, cpu={0: 2.0})
    _, body = Exposition(lambda: reading).answer(accept)
    families = text_string_to_metric_families(body.decode())
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_buckets_are_cumulative() -> None:
    """Buckets of a histogram grow to its count, and its sum is the sum of what was seen."""
    counters = Counters()
    for seconds in (0.0004, 0.02, 0.02, 100.0):
        counters.route("web").count("GET", 200, seconds)
    found = expose(counted(counters))
    buckets = [
        n for labels, n in found["gateway_request_duration_seconds_bucket"].items() if ("route", "web") in labels
    ]
    assert buckets[0] == 1
    assert buckets == sorted(buckets)
    assert buckets[-2:] == [3, 4]
    assert found["gateway_request_duration_seconds_count"][("outcome", "success"), ("route", "web")] == 4
    assert found["gateway_request_duration_seconds_sum"][("outcome", "success"), ("route", "web")] == 100.0404


def test_every_reason_word_has_its_zero_somewhere() -> None:
    """Each word of the table is a label from the first scrape, on routes or on what matches none."""
    found = expose(Snapshot())
    assert {dict(labels)["reason"] for labels in found["gateway_errors_total"]} == set(REASONS)
    assert set(found["gateway_requests_total"].values()) == {0}
    assert {dict(labels)["route"] for labels in found["gateway_requests_total"]} == {"web", NO_ROUTE}


def test_series_only_come_never_go() -> None:
    """What the first scrape showed is there in every later one."""
    counters = Counters()
    before = expose(Snapshot())
    counters.route("web").count("BREW", 418, 0.1)
    counters.route("web").count_error("client_gone")
    after = expose(counted(counters))
    for name, series in before.items():
        assert set(series) <= set(after[name]), name
    assert (("code", "418"), ("method", "other"), ("route", "web")) in after["gateway_requests_total"]


def test_upstreams_with_different_signals_of_one_family_have_one_head() -> None:
    """Promtool refuses a second HELP line: a family's head is the same whichever of its signals an upstream has."""
    targets = {
        name: ScalingReading({"desired_replicas": 1.0, f"shed_rps_{reason}": 1.0}, "live", {}, {}, {})
        for name, reason in (("a", "queue_full"), ("b", "rate_limited"))
    }
    reading = Reading((), ("a", "b"), Snapshot(), scaling=targets)
    for accept in ("", "application/openmetrics-text"):
        text = Exposition(lambda: reading).answer(accept)[1].decode()
        heads = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# HELP")]
        assert len(heads) == len(set(heads))
        assert text.count("gateway_signal_shed_by_reason_per_second{") == 2


def test_a_class_that_came_has_its_refusals_as_zeros() -> None:
    """The first refusal of a class is an increase, and not a series that begins with it."""
    counters = Counters()
    counters.upstream("app").wait("batch").observe(0.0)
    snapshot = counted(counters)
    snapshot.gates["app"] = counters.upstream("app").read()
    found = expose(snapshot)["gateway_shed_total"]
    for name in ("batch", "default"):
        assert found[("class", name), ("mode", "enforce"), ("reason", "queue_full"), ("upstream", "app")] == 0
