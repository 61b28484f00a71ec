"""The proxies that are compared, each with the configuration that does the same work on one core.

The same work: accept on loopback, forward everything to one origin over kept-alive connections, stream
bodies both ways, write no access log. Where a default would be unfair to a peer (nginx closes a
connection after 1,000 requests, for one) it is changed and the reason stands beside it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.processes import PROXY_CORE, Running, free_port, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

OURS = "gateway"
_PREFIX = Path(sys.prefix) / "bin"


class Site(NamedTuple):
    """Where one peer runs: its scratch directory, its port, the origin's port and how many workers."""

    directory: Path
    port: int
    origin: int
    workers: int = 1

    def write(self, name: str, text: str) -> str:
        """Write a configuration file; its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)


class Peer(NamedTuple):
    """One proxy: the program it needs, how to get that, and its command line for a site."""

    name: str
    program: str
    install: str
    command: Callable[[Site], list[str]]
    environment: dict[str, str]
    max_connections: int = 10_000

    def find(self) -> str | None:
        """The path of the program, from this Python's environment first; None when it is not installed."""
        own = _PREFIX / self.program
        if own.exists():
            return str(own)
        return shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

    def start(
        self, directory: Path, origin: int, *, workers: int = 1, cores: str = str(PROXY_CORE), ready: str = "/small"
    ) -> AbstractContextManager[Running]:
        """Run it in front of the origin until the block ends."""
        home = directory / f"{self.name}-{free_port()}"
        home.mkdir(parents=True)
        site = Site(home, free_port(), origin, workers)
        command = self.command(site)
        command[0] = self.find() or command[0]
        return running(
            command,
            cores=cores,
            port=site.port,
            log=home / "log",
            environment={
                "HOME": str(home),
                "XDG_DATA_HOME": str(home),
                "XDG_CONFIG_HOME": str(home),
                **self.environment,
            },
            path=ready,
        )


def gateway_command(site: Site, *, upstream: str = "", tables: str = "") -> list[str]:
    """Ours; with more keys in the upstream's table, and more tables."""
    path = site.write(
        "gateway.toml",
        f"""
[gateway]
listen = ["127.0.0.1:{site.port}"]
state_dir = ""
workers = {site.workers}
# idle connections are measured by the ten thousand
limits = {{ connections = 12000, body = "1GiB" }}
timeouts = {{ keepalive = "10m" }}

[admin]
listen = "127.0.0.1:{free_port()}"

[log]
access = "off"

[upstreams.origin]
endpoints = ["http://127.0.0.1:{site.origin}"]
{upstream}
[routes.all]
upstream = "origin"
{tables}""",
    )
    return ["gateway", "run", path]


def _aiohttp(site: Site) -> list[str]:
    return ["python", "-m", "benchmarks.aiohttp_peer", str(site.port), str(site.origin)]


def nginx_command(site: Site, *, http: str = "", location: str = "") -> list[str]:
    """Write nginx's configuration, with more directives in two of its blocks."""
    path = site.write(
        "nginx.conf",
        f"""
daemon off;
worker_processes {site.workers};
worker_rlimit_nofile 20000;
pid {site.directory}/pid;
error_log {site.directory}/error.log error;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {site.directory}/body;
  proxy_temp_path {site.directory}/proxy;
  fastcgi_temp_path {site.directory}/fastcgi;
  uwsgi_temp_path {site.directory}/uwsgi;
  scgi_temp_path {site.directory}/scgi;
  # by default a connection is closed after 1,000 requests
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_max_body_size 0;
  {http}
  upstream origin {{
    server 127.0.0.1:{site.origin};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{site.port} backlog=4096;
    location / {{
      {location}
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      # stream, as all the others do; never spill a body to disk
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      # the default, 4 KiB pieces, is made for pages; these bodies are larger
      proxy_buffer_size 16k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
      client_body_buffer_size 64k;
    }}
  }}
}}
""",
    )
    return ["nginx", "-p", str(site.directory), "-c", path, "-e", str(site.directory / "error.log")]


def haproxy_command(site: Site, *, backend: str = "", server: str = "") -> list[str]:
    """Write HAProxy's configuration, with more lines for its backend and more words for its server."""
    path = site.write(
        "haproxy.cfg",
        f"""
global
  nbthread {site.workers}
  maxconn 8000
defaults
  mode http
  timeout connect 1s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option forwardfor
frontend in
  bind 127.0.0.1:{site.port} backlog 4096
  default_backend origin
backend origin
  {backend}
  server one 127.0.0.1:{site.origin} pool-max-conn 256 {server}
""",
    )
    return ["haproxy", "-db", "-f", path]


def envoy_command(site: Site, *, filters: str = "") -> list[str]:
    """Write Envoy's configuration, with more filters before the router."""
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
              - match: {{ prefix: "/" }}
                route: {{ cluster: origin, timeout: 0s }}
          http_filters:{filters}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {site.origin} }} }}
""",
    )
    concurrency = str(site.workers)
    return ["envoy", "-c", path, "--concurrency", concurrency, "--disable-hot-restart", "-l", "error"]


def traefik_command(site: Site, *, guard: str = "") -> list[str]:
    """Write Traefik's configuration, with one middleware in YAML's flow style."""
    used = "guard" if guard else ""
    middlewares = f"  middlewares:\n    guard: {guard}\n" if guard else ""
    routes = site.write(
        "routes.yaml",
        f"""
http:
  routers:
    all: {{ entryPoints: [in], rule: "PathPrefix(`/`)", service: origin, middlewares: [{used}] }}
{middlewares}\
  services:
    origin:
      loadBalancer:
        servers: [{{ url: "http://127.0.0.1:{site.origin}" }}]
""",
    )
    return [
        "traefik",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=ERROR",
        f"--entrypoints.in.address=127.0.0.1:{site.port}",
        "--entrypoints.in.transport.respondingtimeouts.idletimeout=600s",
        "--serverstransport.maxidleconnsperhost=256",
        f"--providers.file.filename={routes}",
    ]


def _caddy(site: Site) -> list[str]:
    path = site.write(
        "Caddyfile",
        f"""
{{
  admin off
  auto_https off
  persist_config off
  log {{
    level ERROR
  }}
  servers {{
    timeouts {{
      idle 10m
    }}
  }}
}}
http://127.0.0.1:{site.port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{site.origin} {{
    transport http {{
      keepalive_idle_conns_per_host 256
      compression off
    }}
  }}
}}
""",
    )
    return ["caddy", "run", "--config", path, "--adapter", "caddyfile"]


_BENCH_EXTRA = "pip install -e '.[bench]'"
# Go programs would start garbage collection and network threads on every core of the machine.
_ONE_GO_CORE = {"GOMAXPROCS": "1"}

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(OURS, "gateway", "pip install -e .", gateway_command, {}),
        Peer("aiohttp", "python", "pip install -e .", _aiohttp, {}),
        Peer("nginx", "nginx", "apt-get install nginx-light", nginx_command, {}),
        # above 8,000 its two sides would not fit under a limit of 20,000 open files
        Peer("haproxy", "haproxy", "apt-get install haproxy", haproxy_command, {}, max_connections=7_500),
        Peer("envoy", "envoy", _BENCH_EXTRA, envoy_command, {}),
        Peer("traefik", "traefik", _BENCH_EXTRA, traefik_command, _ONE_GO_CORE),
        Peer("caddy", "caddy", _BENCH_EXTRA, _caddy, _ONE_GO_CORE),
    )
}
