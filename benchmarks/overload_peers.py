"""The proxies with the best protection that each of them has, and what each is told.

nginx, HAProxy and Traefik are told what the service can take, as an operator would who has measured it on a good
day. Envoy and this gateway are told nothing. ``nothing`` is the service without anything in front.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers import (
    OURS,
    PEERS,
    Peer,
    Site,
    envoy_command,
    gateway_command,
    haproxy_command,
    nginx_command,
    traefik_command,
)
from benchmarks.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = "nothing"
NAMES = (OURS, NOTHING, "nginx-conn", "nginx-rate", "haproxy", "traefik", "envoy")


class Told(NamedTuple):
    """What the proxies that must be told are told: how many at once, how many a second."""

    at_once: int = 8
    per_second: float = 400


class Wishes(NamedTuple):
    """What the scenario needs beyond a limit: classes by path, and the key that tells tenants apart."""

    classes: tuple[str, ...] = ()
    fairness_key: str = ""


def configure(name: str, told: Told, wishes: Wishes) -> Peer:
    """One proxy, protected."""
    program, command = _commands(told, wishes)[name]
    return PEERS[program]._replace(name=name, command=command)


def _commands(told: Told, wishes: Wishes) -> dict[str, tuple[str, Callable[[Site], list[str]]]]:
    # an empty key, as $server_name is by default, would not be limited at all; and log lines about refusals, a
    # thousand a second of them, are nobody's work here
    zone = "$server_port zone=all:1m"
    limit_conn = partial(
        nginx_command,
        http=f"limit_conn_zone {zone}; limit_conn_log_level info;",
        location=f"limit_conn all {told.at_once};",
    )
    limit_req = partial(
        nginx_command,
        http=f"limit_req_zone {zone} rate={told.per_second:.0f}r/s; limit_req_log_level info;",
        location=f"limit_req zone=all burst={told.per_second / 4:.0f};",
    )
    priorities = "".join(
        f"\n  http-request set-priority-class int({number}) if {{ path_beg /{each}/ }}"
        for number, each in enumerate(wishes.classes)
    )
    # by default each client address has a limit of its own
    in_flight = f"{{ inFlightReq: {{ amount: {told.at_once}, sourceCriterion: {{ requestHost: true }} }} }}"
    return {
        OURS: (OURS, partial(gateway_command, upstream=_upstream(wishes), tables=_tables(wishes))),
        "nginx-conn": ("nginx", limit_conn),
        "nginx-rate": ("nginx", limit_req),
        "haproxy": (
            "haproxy",
            partial(haproxy_command, backend=f"timeout queue 400ms{priorities}", server=f"maxconn {told.at_once}"),
        ),
        "traefik": ("traefik", partial(traefik_command, guard=in_flight)),
        "envoy": ("envoy", partial(envoy_command, filters=_ADAPTIVE)),
    }


# the values of Envoy's own example; the controller is the only kind it has
_ADAPTIVE = """
          - name: envoy.filters.http.adaptive_concurrency
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
              gradient_controller_config:
                sample_aggregate_percentile: { value: 90 }
                concurrency_limit_params: { concurrency_update_interval: 0.1s }
                min_rtt_calc_params: { jitter: { value: 10 }, interval: 60s, request_count: 50 }
              enabled: { default_value: true, runtime_key: adaptive_concurrency.enabled }"""


def _upstream(wishes: Wishes) -> str:
    if not wishes.fairness_key:
        return ""
    return f'\n[upstreams.origin.queue]\nfairness_key = "{wishes.fairness_key}"\n'


def _tables(wishes: Wishes) -> str:
    if not wishes.classes:
        return ""
    bands = "\n".join(f"{each} = {{ band = {number} }}" for number, each in enumerate(wishes.classes))
    routes = "\n".join(
        f'[routes.{each}]\nmatch = {{ path = "/{each}/*" }}\nupstream = "origin"\nclass = "{each}"\n'
        for each in wishes.classes
    )
    return f"\n[classes]\n{bands}\n\n{routes}"


def not_acted_on(peer: Peer, directory: Path) -> list[str]:
    """The keys in our configuration that ``gateway check`` says are read and not acted on; or all it says is wrong."""
    home = directory / f"check-{free_port()}"
    home.mkdir()
    command = peer.command(Site(home, free_port(), free_port()))
    checked = subprocess.run(
        [str(Path(sys.prefix) / "bin" / "gateway"), "check", command[-1]],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    said = checked.stdout + checked.stderr
    if checked.returncode:
        return said.splitlines()
    return re.findall(r":\d+: (\S+): is read but not acted on", said)
