"""Prints the time of one match among 10 and among 10,000 routes, and their ratio (median of 5).

    python benchmarks/routing.py

What must be seen: a lone catch-all below 0.5 µs, every ratio at most 2.
"""

from __future__ import annotations

from statistics import median
from timeit import repeat
from typing import TYPE_CHECKING

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.routing.settings import Match
from gateway.routing.table import RoutingTable

if TYPE_CHECKING:
    from collections.abc import Callable

HEADERS = CIMultiDictProxy(CIMultiDict({"host": "shop.example.com", "accept": "*/*", "x-tenant": "5"}))
CALLS = 20_000
FEW, MANY = 10, 10_000

KINDS: dict[str, tuple[Callable[[int], Match], str, str]] = {
    "literal path": (lambda i: Match(path=f"/service{i}/items"), "shop.example.com", "/service5/items"),
    "prefix": (lambda i: Match(path=f"/service{i}/*"), "shop.example.com", "/service5/items/42"),
    "parameter": (lambda i: Match(path=f"/service{i}/users/{{id}}"), "shop.example.com", "/service5/users/7"),
    "exact host": (lambda i: Match(hosts=(f"h{i}.example.com",)), "h5.example.com:8080", "/items/42"),
    "wildcard host": (lambda i: Match(hosts=(f"*.h{i}.example.com",)), "a.h5.example.com", "/items/42"),
    "header": (lambda i: Match(headers={"x-tenant": str(i)}), "shop.example.com", "/items/42"),
    "escaped path": (lambda i: Match(path=f"/service{i}/*"), "shop.example.com", "/service5/caf%C3%A9"),
}


def seconds(table: RoutingTable, host: str, path: str) -> float:
    """The median time of one match."""
    times = repeat(lambda: table.match(host, path, "GET", HEADERS), number=CALLS, repeat=5)
    return median(times) / CALLS


def main() -> None:
    """Measure and print."""
    alone = seconds(RoutingTable.compile({"all": Match()}), "shop.example.com", "/items/42")
    print(f"{'lone catch-all':<16} {alone * 1e6:6.2f} µs")
    for kind, (make, host, path) in KINDS.items():
        few, many = (
            seconds(RoutingTable.compile({f"r{i}": make(i) for i in range(count)}), host, path) for count in (FEW, MANY)
        )
        print(f"{kind:<16} {few * 1e6:6.2f} µs among {FEW}  {many * 1e6:6.2f} µs among {MANY}  ratio {many / few:.2f}")


if __name__ == "__main__":
    main()
