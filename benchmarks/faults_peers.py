"""The proxies before several endpoints, each with the best that it has against bad ones.

This gateway is told where the endpoints are and which path is their check; ``no-checks`` is the same without that path.
The peers are told more, as an operator would who knows the service: how long an answer may take, and what may be
tried again. None of them may repeat a POST that an endpoint may have seen.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.peers import OURS, PEERS, Peer, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NO_CHECKS: Final = "no-checks"
UNHEDGED: Final = "unhedged"
ALL: Final = (OURS, NO_CHECKS, "haproxy", "nginx", "envoy")
HEDGERS: Final = (OURS, UNHEDGED, "envoy")
NAMES: Final = (OURS, NO_CHECKS, UNHEDGED, "haproxy", "nginx", "envoy")

# the gateway's own default for a connection; nobody waits longer than this for one
_CONNECT: Final = "1s"
_PREVIOUS_HOSTS: Final = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
# a hundred times what an answer takes
_ANSWER: Final = 2


class Place(NamedTuple):
    """Where the endpoints are, and the port of the gateway's admin address."""

    endpoints: Sequence[int]
    admin: int = 0
    hedges: bool = False


def program(name: str) -> Peer:
    """The program behind a name."""
    return PEERS[OURS if name in {NO_CHECKS, UNHEDGED} else name]


def configure(name: str, place: Place) -> Peer:
    """One proxy before these endpoints."""
    commands: dict[str, Callable[[Site], list[str]]] = {
        OURS: partial(_gateway, place=place, health=True, hedges=place.hedges),
        NO_CHECKS: partial(_gateway, place=place, health=False, hedges=False),
        UNHEDGED: partial(_gateway, place=place, health=True, hedges=False),
        "haproxy": partial(_haproxy, place=place),
        "nginx": partial(_nginx, place=place),
        "envoy": partial(_envoy, place=place),
    }
    return program(name)._replace(name=name, command=commands[name])


def _gateway(site: Site, *, place: Place, health: bool, hedges: bool) -> list[str]:
    endpoints = ", ".join(f'"http://127.0.0.1:{port}"' for port in place.endpoints)
    path = site.write(
        "gateway.toml",
        f"""
[gateway]
listen = ["127.0.0.1:{site.port}"]
state_dir = ""

[admin]
listen = "127.0.0.1:{place.admin}"

[log]
access = "off"

[upstreams.origin]
endpoints = [{endpoints}]
{'health = { path = "/healthz", interval = "1s" }' if health else ""}
{'hedge = { after = "p95" }' if hedges else ""}

[routes.all]
upstream = "origin"
""",
    )
    return ["gateway", "run", path]


def _haproxy(site: Site, *, place: Place) -> list[str]:
    servers = "\n".join(f"  server s{port} 127.0.0.1:{port}" for port in place.endpoints)
    path = site.write(
        "haproxy.cfg",
        f"""
global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout connect {_CONNECT}
  timeout client 60s
  timeout server {_ANSWER}s
  timeout check 1s
  http-reuse safe
frontend in
  bind 127.0.0.1:{site.port} backlog 4096
  default_backend origin
backend origin
  balance leastconn
  option httpchk GET /healthz
  option redispatch 1
  retries 2
  retry-on conn-failure empty-response response-timeout 500 502 504
  # at this layer it would repeat anything
  http-request disable-l7-retry if METH_POST
  default-server check inter 1s fastinter 500ms fall 3 rise 2 observe layer7 error-limit 5 on-error mark-down \
on-marked-down shutdown-sessions slowstart 5s
{servers}
""",
    )
    return ["haproxy", "-db", "-f", path]


def _nginx(site: Site, *, place: Place) -> list[str]:
    servers = "\n".join(f"    server 127.0.0.1:{port} max_fails=3 fail_timeout=5s;" for port in place.endpoints)
    path = site.write(
        "nginx.conf",
        f"""
daemon off;
worker_processes 1;
pid {site.directory}/pid;
error_log {site.directory}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {site.directory}/body;
  proxy_temp_path {site.directory}/proxy;
  fastcgi_temp_path {site.directory}/fastcgi;
  uwsgi_temp_path {site.directory}/uwsgi;
  scgi_temp_path {site.directory}/scgi;
  keepalive_requests 1000000000;
  upstream origin {{
    least_conn;
{servers}
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{site.port} backlog=4096;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_connect_timeout {_CONNECT};
      proxy_read_timeout {_ANSWER}s;
      # requests that are not idempotent only when nothing was sent, as is its default
      proxy_next_upstream error timeout http_500 http_502 http_504;
      proxy_next_upstream_tries 3;
    }}
  }}
}}
""",
    )
    return ["nginx", "-p", str(site.directory), "-c", path, "-e", str(site.directory / "error.log")]


def _envoy(site: Site, *, place: Place) -> list[str]:
    endpoints = "\n".join(
        f"        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}"
        for port in place.endpoints
    )
    # it learns no quantile: twice what an answer takes is what an operator would have measured
    patience = "0.04s" if place.hedges else f"{_ANSWER}s"
    hedge = "hedge_policy: { hedge_on_per_try_timeout: true }" if place.hedges else ""
    path = site.write(
        "envoy.yaml",
        f"""
static_resources:
  listeners:
  - name: in
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {site.port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              # a POST is tried again only when it never left
              - match: {{ prefix: "/", headers: [{{ name: ":method", string_match: {{ exact: POST }} }}] }}
                route:
                  cluster: origin
                  timeout: 0s
                  retry_policy: {{ retry_on: connect-failure, num_retries: 2 }}
              - match: {{ prefix: "/" }}
                route:
                  cluster: origin
                  timeout: 0s
                  {hedge}
                  retry_policy:
                    retry_on: "5xx,reset,connect-failure"
                    num_retries: 2
                    per_try_timeout: {patience}
                    retry_host_predicate:
                    - name: envoy.retry_host_predicates.previous_hosts
                      typed_config:
                        "@type": {_PREVIOUS_HOSTS}
                    host_selection_retry_max_attempts: 3
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: {_CONNECT}
    lb_policy: LEAST_REQUEST
    least_request_lb_config: {{ slow_start_config: {{ slow_start_window: 5s }} }}
    outlier_detection:
      consecutive_5xx: 5
      interval: 1s
      base_ejection_time: 5s
      max_ejection_percent: 50
    health_checks:
    - timeout: 1s
      interval: 1s
      unhealthy_threshold: 3
      healthy_threshold: 2
      http_health_check: {{ path: /healthz }}
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
{endpoints}
""",
    )
    return ["envoy", "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
