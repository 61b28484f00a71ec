"""An endpoint that left is idle when every worker says so, in a snapshot that is newer than the order."""

from __future__ import annotations

import asyncio

from gateway.control.traffic import EndpointTraffic
from gateway.telemetry.snapshot import EndpointSnapshot, ResilienceSnapshot

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"


def said(
    order: int, *, departing: dict[str, int] | None = None, served: dict[str, int] | None = None
) -> ResilienceSnapshot:
    endpoints = {url: EndpointSnapshot(served=n, in_flight=1) for url, n in (served or {}).items()}
    return ResilienceSnapshot(order=order, departing=departing or {}, endpoints=endpoints)


def test_an_older_snapshot_says_nothing() -> None:
    """Until a worker has obeyed the order by which an endpoint left, its silence about the endpoint means nothing."""
    traffic = EndpointTraffic()
    traffic.ordered(1, [A, B])
    traffic.heard({0: said(1)})
    traffic.ordered(2, [B])
    assert not traffic.is_idle(A)
    traffic.heard({0: said(1)})
    assert not traffic.is_idle(A)
    traffic.heard({0: said(2, departing={A: 1})})
    assert not traffic.is_idle(A)
    traffic.heard({0: said(2)})
    assert traffic.is_idle(A)
    assert not traffic.is_idle(B)  # it is present


def test_every_worker_must_say_so() -> None:
    """One worker that still has something, or has said nothing yet, keeps an endpoint busy; one that is dead does not."""
    traffic = EndpointTraffic()
    traffic.ordered(1, [A])
    traffic.heard({0: said(1), 1: said(1)})
    traffic.ordered(2, [])
    traffic.heard({0: said(2), 1: said(1)})
    assert not traffic.is_idle(A)
    traffic.heard({0: said(2), 1: None})
    assert not traffic.is_idle(A)
    traffic.heard({0: said(2)})
    assert traffic.is_idle(A)


def test_who_comes_back_has_not_left() -> None:
    """An endpoint that leaves, comes back and leaves is judged by the last order."""
    traffic = EndpointTraffic()
    traffic.ordered(1, [A])
    traffic.heard({0: said(1)})
    traffic.ordered(2, [])
    traffic.ordered(3, [A])
    traffic.heard({0: said(2)})
    assert not traffic.is_idle(A)
    traffic.ordered(4, [])
    traffic.heard({0: said(3)})
    assert not traffic.is_idle(A)
    traffic.heard({0: said(4)})
    assert traffic.is_idle(A)


def test_nobody_to_ask_means_idle() -> None:
    """Without a worker nothing can be under way; what was never an endpoint is idle too."""
    traffic = EndpointTraffic()
    traffic.ordered(1, [A])
    traffic.ordered(2, [])
    assert traffic.is_idle(A)
    assert traffic.is_idle(B)


def test_served_never_falls() -> None:
    """Counts are added over workers, over new workers, and over an endpoint that left and came back."""
    traffic = EndpointTraffic()
    traffic.ordered(1, [A])
    traffic.heard({0: said(1, served={A: 5}), 1: said(1, served={A: 7})})
    assert (traffic.served(A), traffic.in_flight(A)) == (12, 2)
    traffic.heard({0: said(1, served={A: 6}), 1: said(1, served={A: 2})})  # worker 1 is a new process
    assert traffic.served(A) == 15
    traffic.heard({0: said(2), 1: said(2, served={A: 3})})
    traffic.heard({0: said(3, served={A: 9}), 1: said(3, served={A: 3})})  # worker 0 counts anew
    assert traffic.served(A) == 25
    assert traffic.served(B) == 0


async def test_waiting_ends_with_the_last_word() -> None:
    """Who waits for an endpoint to be idle wakes when it is, and not before."""
    traffic = EndpointTraffic()
    traffic.ordered(1, [A])
    traffic.heard({0: said(1)})
    traffic.ordered(2, [])
    waiting = asyncio.create_task(traffic.until_idle(A))
    for _ in range(3):
        traffic.heard({0: said(2, departing={A: 1})})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    traffic.heard({0: said(2)})
    async with asyncio.timeout(10):
        await waiting
    async with asyncio.timeout(10):
        await traffic.until_idle(B)
