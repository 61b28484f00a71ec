"""Files that can be used, and every reason why others cannot."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.config.errors import ConfigError, InvalidConfig, InvalidToml, UnreadableFile
from gateway.config.load import Loaded, load

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = """
[upstreams.app]
endpoints = ["http://127.0.0.1:9001"]
[routes.all]
upstream = "app"
"""

GROWN = """
[gateway]
listen = ["0.0.0.0:8080", "[::1]:8081", "unix:/run/gw.sock"]
tls = { certificate = "server.pem", key = "server.key" }

[admin]
token_file = "token"

[classes]
first = { band = 0 }

[upstreams.shop]
endpoints = ["http://10.1.1.1:80", { url = "https://[2001:db8::1]:8443/", weight = 0.5 }]
balance = "p2c"
hedge = { after = "p95" }

[upstreams.shop.limit]
kind = "adaptive"
[upstreams.shop.queue]
max_wait = "1s"
[upstreams.shop.breaker]
probes = 3
[upstreams.shop.retry]
attempts = 2
[upstreams.shop.health]
path = "/up"
[upstreams.shop.scaling]
mode = "observe"

[upstreams.mine.pool]
command = ["python", "-m", "thing", "{port}"]
max = 3
standby = 1

[routes.buy]
match = { hosts = ["*.example.net"], path = "/buy/*", methods = ["POST"] }
upstream = "shop"
class = "first"
rate_limits = [{ name = "all", key = "route", rate = "50/s" }, { name = "each", rate = "1000/m", burst = 5 }]

[routes.rest]
upstream = "mine"
drain = "x"

[fleet]
redis = "redis://:secret@127.0.0.1/0"
"""


def loaded(folder: Path, text: str) -> Loaded:
    file = folder / "gateway.toml"
    file.write_text(text)
    return load(file)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return [str(problem).removeprefix(f"{folder}/gateway.toml:") for problem in caught.value.problems]


def certificate(folder: Path, name: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = [
        "-keyout",
        str(folder / f"{name}.key"),
        "-out",
        str(folder / f"{name}.pem"),
        "-subj",
        "/CN=a",
        "-days",
        "2",
    ]
    subprocess.run([*command, *names], check=True, capture_output=True)


def test_a_grown_file_is_read_and_what_is_not_acted_on_is_said(tmp_path: Path) -> None:
    """Every planned key gives one warning with its line, and nothing else does."""
    certificate(tmp_path, "server")
    (tmp_path / "token").write_text("secret")
    result = loaded(tmp_path, GROWN.replace('drain = "x"\n', ""))
    keys = {warning.key: warning.line for warning in result.warnings}
    assert keys == {"fleet": 44}
    assert all(warning.rule == "is read but not acted on by this version" for warning in result.warnings)
    assert result.settings.gateway.tls is not None
    assert result.settings.gateway.tls.key == str(tmp_path / "server.key")


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """One run tells all mistakes, each with its line, key, rule, value and the nearest valid word."""
    text = """
[gatway]
[gateway]
listen = ["127.0.0.1:80800"]
workers = true
drain_timeout = 30
[gateway.limits]
head = "32"
headers = 0
client = 1
[log]
format = "jsn"
[upstreams.shop]
endpoints = ["http://u:secret@10.0.0.1:80", { url = "ftp://a:1", wieght = 2 }, { weight = 0 }]
[upstreams.both]
endpoints = ["http://a:1"]
pool = { command = ["python", "{port}"], ready = { timeout = "0s" } }
[routes."bad name"]
upstream = "shop"
[routes.one]
upstream = "shpo"
match = { methods = ["get"], path = "/a*", hosts = ["a:80"] }
set_headers = { "Transfer-Encoding" = "chunked", x = "a\\nb" }
[routes.two]
strip_prefix = "/x"
rewrite = "/y"
"""
    assert problems(tmp_path, text) == [
        '2: gatway: unknown key; did you mean "gateway"?',
        '4: gateway.listen[0]: expected "host:port", "[address]:port" or "unix:/path", with a port in [0, 65535]; got "127.0.0.1:80800"',
        "5: gateway.workers: expected a whole number in [0, 256]; got true",
        '6: gateway.drain_timeout: expected a duration with a unit, such as "30s"; got 30',
        '8: gateway.limits.head: expected a size with a unit, such as "64KiB"; got "32"',
        "9: gateway.limits.headers: expected a whole number of at least 1; got 0",
        "10: gateway.limits.client: unknown key; expected one of body, connections, connections_per_client, head, headers, target",
        '12: log.format: expected "auto" or "console" or "json"; got "jsn"; did you mean "json"?',
        '14: upstreams.shop.endpoints[0]: expected no user name or password in an endpoint; got "http://***@10.0.0.1:80"',
        '14: upstreams.shop.endpoints[1].url: expected "http://host:port", "https://host:port" or "unix:/path"; got "ftp://a:1"',
        '14: upstreams.shop.endpoints[1].wieght: unknown key; did you mean "weight"?',
        "14: upstreams.shop.endpoints[2].weight: expected a number in (0, 1000]; got 0",
        "14: upstreams.shop.endpoints[2].url: is missing; expected a text",
        '17: upstreams.both.pool.ready.timeout: expected a duration above 0; got "0s"',
        '18: routes."bad name": expected a name of 1 to 64 letters, digits, _, . or -',
        '21: routes.one.upstream: expected the name of an upstream; got "shpo"; did you mean "shop"?',
        '22: routes.one.match.methods[0]: expected a method in capitals; got "get"; did you mean "GET"?',
        '22: routes.one.match.path: expected "*" only as the whole last segment; got "/a*"',
        '22: routes.one.match.hosts[0]: expected a host name only, without scheme, port or path; got "a:80"',
        "23: routes.one.set_headers.Transfer-Encoding: expected a field that is not the gateway's own (framing and connection fields are)",
        '23: routes.one.set_headers.x: expected visible ASCII characters without control characters or spaces around them; got "a\\nb"',
        "24: routes.two.upstream: is missing; expected a text",
    ]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("[upstreams.b]\nendpoints = []", '6: upstreams.b: expected "endpoints" or a "pool" table'),
        ('[upstreams.b]\nendpoints = ["http://a:1"]\npool = { command = ["python", "{port}"] }', '6: upstreams.b: expected either "endpoints" or "pool", not both'),
        ('[upstreams.b]\nendpoints = ["http://a:1", "http://a:1/"]', "7: upstreams.b.endpoints[1]: expected every endpoint once; use weight for a larger share; got http://a:1"),
        ('[upstreams.b]\nendpoints = ["http://a:1/v1"]', '7: upstreams.b.endpoints[0]: expected no path, query or fragment in an endpoint; a route\'s "rewrite" changes paths; got "http://a:1/v1"'),
        ("[upstreams.b.pool]\ncommand = []", "7: upstreams.b.pool.command: expected an array with at least one item; got an array"),
        ('[routes.b]\nupstream = "app"\nmatch = { path = "/*" }', "8: routes.b.match: ties with routes.all: both match any method /* on any host"),
        ('[routes.b]\nupstream = "app"\nmatch.path = "/b"\nrewrite = "/{x}"', "9: routes.b.rewrite: expected only parameters of the route's path; {x} is not one; got \"/{x}\""),
        ('[routes.b]\nupstream = "app"\nmatch.path = "/b"\nrewrite = "/"\nstrip_prefix = "/"', '6: routes.b: expected one of "strip_prefix" and "rewrite", not both'),
        ('[routes.b]\nupstream = "app"\nmatch.path = "/b"\nset_headers = { A = "1", a = "2" }', "9: routes.b.set_headers.a: expected every field once; names differ only in case"),
        ('[routes.b]\nupstream = "app"\nmatch.path = "/b"\nset_headers = { A = "1" }\nremove_headers = ["a"]', "10: routes.b.remove_headers[0]: is also in set_headers, which replaces it already; got a"),
        ('[routes.b]\nupstream = "app"\nmatch.path = "/b"\nmatch.headers = { A = "1", a = "2" }', "9: routes.b.match.headers: expected every header field once; names differ only in case"),
        ('[gateway]\nlisten = ["127.0.0.1:9090"]', '7: gateway.listen[0]: expected every address once; admin.listen listens there too; got "127.0.0.1:9090"'),
        ("[gateway]\nlisten = []", "7: gateway.listen: expected an array with at least one item; got an array"),
        ('[gateway]\nclient_ip = { trusted_proxies = ["10.0.0.1/8"] }', '7: gateway.client_ip.trusted_proxies[0]: expected "unix" or a network such as "10.0.0.0/8" (10.0.0.1/8 has host bits set); got "10.0.0.1/8"'),
        ("[gateway]\ntimeouts = 5", "7: gateway.timeouts: expected a table; got 5"),
        ("[gateway]\nworkers = 1.5", "7: gateway.workers: expected a whole number in [0, 256]; got 1.5"),
        ('[gateway]\ndrain_timeout = "400d"', '7: gateway.drain_timeout: expected a duration of at most 365d; got "400d"'),
        (f'[gateway.limits]\nbody = "{"9" * 18}GB"', f'7: gateway.limits.body: expected a size of at most 8388608GiB; got "{"9" * 18}GB"'),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tmp_path: Path, extra: str, expected: str) -> None:
    """Each mistake gives exactly one problem, at its own line."""
    assert problems(tmp_path, f"{MINIMAL}{extra}\n") == [expected]


@pytest.mark.parametrize("unit", ["drain_timeout", "timeouts.keepalive"])
def test_zero_is_a_duration_only_where_nothing_waits(tmp_path: Path, unit: str) -> None:
    """A drain may be skipped; a timeout of nothing would refuse everything."""
    text = f'{MINIMAL}[gateway]\n{unit} = "0s"\n'
    if unit == "drain_timeout":
        assert loaded(tmp_path, text).settings.gateway.drain_timeout == 0
    else:
        assert problems(tmp_path, text) == ['7: gateway.timeouts.keepalive: expected a duration above 0; got "0s"']


def test_worth_knowing_is_not_an_error(tmp_path: Path) -> None:
    """An unused upstream, a pool without a port and a public admin address are warnings."""
    text = MINIMAL + '[upstreams.b.pool]\ncommand = ["python"]\n[admin]\nlisten = "0.0.0.0:9090"\n'
    warnings = [(warning.line, warning.key) for warning in loaded(tmp_path, text).warnings]
    assert warnings == [(6, "upstreams.b"), (7, "upstreams.b.pool.command"), (9, "admin.listen")]


def test_an_empty_file_says_what_must_be_there(tmp_path: Path) -> None:
    """Without upstreams and routes there is nothing to do."""
    assert problems(tmp_path, "") == [
        "1: upstreams: is missing; expected a table with at least one entry",
        "1: routes: is missing; expected a table with at least one entry",
    ]
    assert len(problems(tmp_path, "[upstreams]\n[routes]\n")) == 2


def test_certificates_must_fit_their_keys(tmp_path: Path) -> None:
    """A missing file, another certificate's key and something else than PEM are told apart."""
    for name in ("a", "b"):
        certificate(tmp_path, name)
    (tmp_path / "junk.pem").write_text("junk")

    def tls(cert: str, key: str) -> str:
        return f'{MINIMAL}[gateway.tls]\ncertificate = "{cert}"\nkey = "{key}"\n'

    assert loaded(tmp_path, tls("a.pem", "a.key"))
    assert "the key is not that of the first certificate" in problems(tmp_path, tls("a.pem", "b.key"))[0]
    assert "No such file" in problems(tmp_path, tls("a.pem", "none.key"))[0]
    assert 'a text that has "-----BEGIN CERTIFICATE-----"' in problems(tmp_path, tls("junk.pem", "a.key"))[0]


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    """A key with a password is an error, not a prompt."""
    certificate(tmp_path, "a")
    command = ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", str(tmp_path / "a.key")]
    subprocess.run([*command, "-out", str(tmp_path / "b.key")], check=True, capture_output=True)
    text = f'{MINIMAL}[gateway.tls]\ncertificate = "a.pem"\nkey = "b.key"\n'
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("8: gateway.tls.key: is encrypted, and the gateway asks for no password: ")
    assert f'"openssl pkey -in {tmp_path}/b.key -out {tmp_path}/b.key.plain" decrypts it' in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = %", '1:5: Invalid value: a text stands in quotes: a = "%"; got a = %'),
        (
            "x = 1\ny = [1,\n",
            '2: Invalid value at the end of the file: an array ends with "]" and has commas between its items; texts in it stand in quotes; got y = [1,',
        ),
        (
            "a = 1\na = 2\n",
            '2:6: Cannot overwrite a value: "a" is in this table already; every key stands once; got a = 2',
        ),
    ],
)
def test_syntax_errors_have_a_place(tmp_path: Path, text: str, expected: str) -> None:
    """What is not TOML is told with line and column."""
    assert problems(tmp_path, text) == [expected]


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "1" * 5000])
def test_absurd_toml_is_a_config_error(tmp_path: Path, text: str) -> None:
    """Nesting and digits beyond reason are errors of the file, not of the program."""
    with pytest.raises(InvalidToml):
        loaded(tmp_path, text)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """Missing files, folders and other encodings are one clear line."""
    (tmp_path / "latin").write_bytes(b"a = 1\nb = '\xe9'")
    for name, words in (("none", "No such file"), (".", "Is a directory"), ("latin", "UTF-8")):
        with pytest.raises(UnreadableFile, match=words):
            load(tmp_path / name)


def test_secrets_and_controls_never_show(tmp_path: Path) -> None:
    """Values of secret fields, passwords in URLs and terminal controls do not reach the output."""
    text = (
        MINIMAL
        + '[routes.b]\nupstream = "redis://:hunter2@x"\nmatch.path = "/b"\nset_headers = { Authorization = "hunter2 " }\n'
    )
    text += '"\\u001b[31m\\u202e" = 1\n'
    shown = "\n".join(problems(tmp_path, text))
    assert "hunter2" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "***" in shown


def test_problems_of_one_kind_do_not_hide_others(tmp_path: Path) -> None:
    """Checks across keys run although some key is broken."""
    text = MINIMAL + '[gateway]\nworkers = -1\n[routes.b]\nupstream = "none"\n'
    with pytest.raises(InvalidConfig) as caught:
        loaded(tmp_path, text)
    assert [problem.key for problem in caught.value.problems] == [
        "gateway.workers",
        "routes.b.match",
        "routes.b.upstream",
    ]


@pytest.mark.parametrize("line", ["[gateway]\nworkers = {}", "[upstreams.app.scaling]\nprice.replica_hour = {}"])
def test_a_number_of_400_digits_is_too_large(tmp_path: Path, line: str) -> None:
    """No float is as large, which is no reason to break off."""
    file = tmp_path / "gateway.toml"
    file.write_text(MINIMAL + line.format("9" * 400))
    with pytest.raises(InvalidConfig, match=r"expected a (whole )?number in") as wrong:
        load(file)
    assert len(str(wrong.value)) < 300
