"""Whether traffic should come here, by upstream (pure).

An upstream can be served while it has an endpoint that its checks do not speak against. One that cannot is no reason to
send the others' requests away, so it is a remark; only when nothing can be served it is a reason. Open breakers are
remarks, too: they are a matter of seconds, and the answer that they give (503 with ``Retry-After``) is better than
none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class UpstreamReadiness(Struct, frozen=True):
    """One upstream: whether it can be served, how many endpoints it has, how many of them are up, and what is not well.

    ``detail`` is what a process of a pool answered last when it was asked whether it is ready, and what to set.
    """

    ready: bool
    endpoints: int
    up: int
    remark: str = ""
    detail: str = ""


def judge(  # noqa: PLR0913 - what is known of it
    name: str,
    *,
    endpoints: int,
    down: int,
    is_pool: bool,
    is_shut: bool,
    is_awaited: bool = False,
    lost: Sequence[str] = (),
    detail: str = "",
) -> UpstreamReadiness:
    """The readiness of one upstream; ``down`` are endpoints that fail their checks, ``is_shut``: by breakers.

    ``is_awaited``: a pool that may be empty, whose first request waits for a process.
    ``lost`` are names that we cannot resolve. The system may know other ways, so that is a remark.
    """
    up = endpoints - down
    if not endpoints and is_awaited:
        return UpstreamReadiness(ready=True, endpoints=0, up=0)
    if not endpoints:
        remark = f"no process of pool {name} is ready" if is_pool else f"upstream {name} has no endpoint"
        return UpstreamReadiness(ready=False, endpoints=0, up=0, remark=remark, detail=detail)
    if not up:
        remark = f"every endpoint of {name} fails its checks"
        return UpstreamReadiness(ready=False, endpoints=endpoints, up=0, remark=remark)
    remark = f"the breakers of {name} are open" if is_shut else ""
    if lost and not remark:
        remark = f"not resolved: {', '.join(lost)}"
    return UpstreamReadiness(ready=True, endpoints=endpoints, up=up, remark=remark)


def reasons(upstreams: Mapping[str, UpstreamReadiness]) -> tuple[str, ...]:
    """Why no traffic should come, as far as upstreams are concerned: nothing can be served."""
    if any(one.ready for one in upstreams.values()):
        return ()
    return tuple(one.remark for one in upstreams.values())


def remarks(upstreams: Mapping[str, UpstreamReadiness]) -> tuple[str, ...]:
    """What is not well, although traffic may come."""
    return tuple(one.remark for one in upstreams.values() if one.remark)
