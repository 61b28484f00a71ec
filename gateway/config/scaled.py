"""What must hold between the keys by which an upstream is scaled."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from gateway.scaling.settings import broken_rules

if TYPE_CHECKING:
    from gateway.config.settings import Upstream
    from gateway.config.shown import Path
    from gateway.config.walk import Walk
    from gateway.pool.settings import Pool
    from gateway.scaling.settings import ActuatorSettings


def check_scaled(walk: Walk, path: Path, upstream: Upstream) -> None:
    """Add what cannot hold in scaling and pool of one upstream."""
    if upstream.pool is not None and walk.is_whole((*path, "pool")):
        _check_bounds(walk, (*path, "pool"), upstream.pool)
    scaling = upstream.scaling
    here: Path = (*path, "scaling")
    if scaling is None or not walk.is_whole(here):
        return
    for keys, low, high in (
        ("min <= max", scaling.min, scaling.max),
        ("hold <= max_hold", scaling.hold, scaling.max_hold),
    ):
        if low > high:
            walk.problem(here, f"expected {keys}; got {low}, {high}")
    for key, number in (("pin", scaling.pin), ("fallback", scaling.fallback)):
        if number is not None and not scaling.min <= number <= scaling.max:
            walk.problem((*here, key), f"expected min <= {key} <= max; got {scaling.min}, {number}, {scaling.max}")
    if scaling.mode == "pinned" and scaling.pin is None:
        walk.problem((*here, "pin"), 'is missing; mode "pinned" needs it')
    elif scaling.mode != "pinned" and scaling.pin is not None:
        walk.warning((*here, "pin"), f'does nothing while mode is "{scaling.mode}"')
    broken = broken_rules(scaling.actuator)
    for key, rule in broken.items():
        walk.problem((*here, "actuator", key), rule)
    _check_programs(walk, (*here, "actuator"), scaling.actuator)
    _check_owner(walk, here, upstream)


def _check_programs(walk: Walk, path: Path, actuator: ActuatorSettings) -> None:
    """The programs that an ``exec`` actuator runs must exist."""
    for key, command in (("command", actuator.command), ("count", actuator.count)):
        if actuator.kind == "exec" and command and shutil.which(command[0]) is None:
            walk.problem((*path, key, 0), "there is no such program in PATH", f'"{command[0]}"')


def _check_bounds(walk: Walk, path: Path, pool: Pool) -> None:
    if pool.max and pool.max < pool.min:
        walk.problem(path, f"expected min <= max; got {pool.min}, {pool.max}")
    elif not pool.most:
        walk.problem(path, 'expected "max" of at least 1 where "min" is 0')


def _check_owner(walk: Walk, here: Path, upstream: Upstream) -> None:
    """What carries out must be able to: a pool needs a pool, and a pool is nobody else's."""
    scaling, pool = upstream.scaling, upstream.pool
    if scaling is None:
        return
    kind = scaling.actuator.kind
    if kind == "pool" and pool is None:
        walk.problem((*here, "actuator", "kind"), 'expected a "pool" table beside "scaling"', '"pool"')
    elif pool is not None and kind not in {"pool", "publish"}:
        walk.problem((*here, "actuator", "kind"), "expected none: the gateway runs this pool itself", f'"{kind}"')
    elif pool is not None and pool.min <= pool.most > 0 and max(scaling.min, pool.min) > min(scaling.max, pool.most):
        bounds = f"pool {pool.min} to {pool.most}, scaling {scaling.min} to {scaling.max}"
        walk.problem(here, f"expected bounds that have a number in common with those of the pool; got {bounds}")
    elif kind == "publish" and pool is None and scaling.mode == "live":
        walk.warning((*here, "mode"), "nothing carries decisions out; they are published only")
