"""What is wrong, where, and what to do: the mistakes that people make in their first hour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.errors import ConfigError
from gateway.config.load import load
from gateway.pool.program import find_program, resolved

UPSTREAM = '[upstreams.app]\nendpoints = ["http://127.0.0.1:1"]\n'
ROUTE = '[routes.all]\nupstream = "app"\n'


def problem(folder: Path, text: str) -> str:
    file = folder / "gateway.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value.problems[0]).removeprefix(f"{file}:")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("listen = 127.0.0.1:8080", '6:15: Expected newline or end of document after a statement: a text stands in quotes: listen = "127.0.0.1:8080"; got listen = 127.0.0.1:8080'),
        ("listen: 8080", '6:7: Expected \'=\' after a key in a key/value pair: TOML writes "key = value", with "=" instead of ":"; got listen: 8080'),
        ("workers =", '6:10: Invalid value: "workers =" has no value; got workers ='),
        ("workers = None", "6:11: Invalid value: there is no empty value; leave the key out; got workers = None"),
        ("a = True", "6:5: Invalid value: true and false are written in small letters; got a = True"),
        ("workers = ${N}", '6:11: Invalid value: a variable stands in quotes, "${NAME}", also where a number is expected; got workers = ${N}'),
        ("token = abc", "6:9: Invalid value: a text stands in quotes; got token = ***"),
        ('a = "C:\\dir"', "6:10: Unescaped '\\' in a string: a backslash in \"…\" is written twice; '…' takes it as it is; got a = \"C:\\dir\""),
        ("[upstreams.app]", "6:15: Cannot declare ('upstreams', 'app') twice: [upstreams.app] is on line 1 already; a table's keys stand together under one header; got [upstreams.app]"),
        ("workers = 1\nworkers = 2", '7:12: Cannot overwrite a value: "workers" is in this table already; every key stands once; got workers = 2'),
        ("limits = { head = '1kB'", '6:24: Unclosed inline table: a table in braces ends with "}", and has commas between its keys and no line breaks; got limits = { head = \'1kB\''),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_said_with_a_remedy(tmp_path: Path, line: str, expected: str) -> None:
    """The reader's words come with the line as written and what to do; secrets stay out."""
    assert problem(tmp_path, f"{UPSTREAM}{ROUTE}[gateway]\n{line}\n") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{UPSTREAM}retries = 3\n{ROUTE}", "3: upstreams.app.retries: unknown key; it is upstreams.NAME.retry.attempts, which counts the first try too"),
        (f"{UPSTREAM}{ROUTE}retries = 3\n", "5: routes.all.retries: unknown key; it is upstreams.NAME.retry.attempts, which counts the first try too"),
        (f'{UPSTREAM}timeout = "3s"\n{ROUTE}', '3: upstreams.app.timeout: unknown key; it is timeouts.head, or timeout of a route ("routes.NAME.timeout") for the whole request'),
        (f"{UPSTREAM}failure_ratio = 1\n{ROUTE}", "3: upstreams.app.failure_ratio: unknown key; it is breaker.failure_ratio"),
        (f'{UPSTREAM}{ROUTE}path = "/x"\n', "5: routes.all.path: unknown key; it is match.path"),
        (f"{UPSTREAM}{ROUTE}[gateway]\nport = 80\n", '6: gateway.port: unknown key; it is listen, such as ["0.0.0.0:8080"]'),
        (f'{UPSTREAM}{ROUTE}strip_prefx = "/x"\n', '5: routes.all.strip_prefx: unknown key; did you mean "strip_prefix"?'),
        (f'{UPSTREAM}hedge.after = "p0.95"\n{ROUTE}', '3: upstreams.app.hedge.after: expected the quantile as a percentage, "p95"; got "p0.95"'),
        (f'{UPSTREAM}hedge.after = "p5"\n{ROUTE}', '3: upstreams.app.hedge.after: expected a quantile from "p50" to "p99.9" or a duration above 0 such as "50ms"; got "p5"'),
        (f'{UPSTREAM}{ROUTE}match.path = "^/api/.*$"\n', '5: routes.all.match.path: expected a path, a prefix ("/api/*") or parameters ("/users/{id}"); regular expressions are not known; got "^/api/.*$"'),
        (f'{UPSTREAM}{ROUTE}match.path = "/users/<int:id>"\n', '5: routes.all.match.path: expected a parameter in braces as a whole segment, such as "/users/{id}"; got "/users/<int:id>"'),
        (f'{UPSTREAM}{ROUTE}[gateway]\nlisten = "127.0.0.1:80"\n', '6: gateway.listen: expected an array with at least one item, such as ["127.0.0.1:80"]; got "127.0.0.1:80"'),
        (f'[upstreams.app]\npool.command = "python app.py"\n{ROUTE}', '2: upstreams.app.pool.command: expected an array with at least one item, such as ["python", "app.py"]; got "python app.py"'),
    ],
)  # fmt: skip
def test_words_of_other_proxies_are_understood(tmp_path: Path, text: str, expected: str) -> None:
    """A key or a value that another proxy has is answered with the one that does it here."""
    assert problem(tmp_path, text) == expected


@pytest.mark.parametrize("path", ["/users/:id", "/a.+", "/api$"])
def test_a_path_that_reads_as_another_routers_is_said(tmp_path: Path, path: str) -> None:
    """It is taken literally, with a warning."""
    file = tmp_path / "gateway.toml"
    file.write_text(f'{UPSTREAM}{ROUTE}match.path = "{path}"\n')
    assert [warning.key for warning in load(file).warnings] == ["routes.all.match.path"]


def test_a_program_must_exist(tmp_path: Path) -> None:
    """A pool's and an actuator's program that is nowhere is an error at its line; one that may not run, too."""
    pool = f'[upstreams.app.pool]\ncommand = ["gunicornn", "{{port}}"]\n{ROUTE}'
    assert problem(tmp_path, pool).startswith(
        "2: upstreams.app.pool.command[0]: there is no such program in PATH, nor beside the gateway's own interpreter ("
    )
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")
    found = problem(tmp_path, pool.replace("gunicornn", str(script)))
    assert found == (
        f'2: upstreams.app.pool.command[0]: is not executable: "chmod +x {script}" makes it so; got "{script}"'
    )
    actuator = '[upstreams.app.scaling]\nactuator = { kind = "exec", command = ["scale-it", "{to}"] }\n'
    assert problem(tmp_path, f"{UPSTREAM}{actuator}{ROUTE}") == (
        '4: upstreams.app.scaling.actuator.command[0]: there is no such program in PATH; got "scale-it"'
    )


def test_programs_beside_the_interpreter_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a virtual environment that is not activated its programs are there all the same; PATH goes first."""
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    beside = str(Path(sys.executable).parent / "gateway")
    assert find_program("gateway") == beside
    assert resolved(["gateway", "x"]) == [beside, "x"]
    assert resolved(["sh", "-c"]) == ["sh", "-c"]
    assert resolved(["python", "-m"]) == [sys.executable, "-m"]
    assert resolved(["no-such-program"]) == ["no-such-program"]


def test_certificates_and_keys_are_told_apart(tmp_path: Path) -> None:
    """A certificate where the key should be, a key where the certificate should be, and DER are each said."""
    pem, key, der = tmp_path / "a.pem", tmp_path / "a.key", tmp_path / "a.der"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-keyout", str(key), "-out", str(pem), "-subj", "/CN=a", "-days", "2"]
    subprocess.run(make, check=True, capture_output=True)
    convert = ["openssl", "x509", "-in", str(pem), "-outform", "der", "-out", str(der)]
    subprocess.run(convert, check=True, capture_output=True)

    def tls(certificate: Path, key: Path) -> str:
        return f'{UPSTREAM}{ROUTE}[gateway.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'

    swapped = problem(tmp_path, tls(key, pem))
    assert 'certificate: expected a certificate; this is a private key, which belongs to "key"' in swapped
    assert 'key: expected a private key; this is a certificate, which belongs to "certificate"' in problem(
        tmp_path, tls(pem, pem)
    )
    assert f'expected PEM; this looks like DER: "openssl x509 -inform der -in {der}' in problem(tmp_path, tls(der, key))
    keda = f'{UPSTREAM}{ROUTE}[keda.tls]\ncertificate = "{pem}"\nkey = "{key}"\nclient_ca = "{key}"\n'
    assert "keda.tls.client_ca: expected a certificate; this is a private key" in problem(tmp_path, keda)


def test_files_that_something_else_needs_are_missed_too(tmp_path: Path) -> None:
    """A token or a key of an actuator that cannot be read is a warning: requests are served without it."""
    actuator = 'actuator = { kind = "webhook", url = "https://a/b", secret_file = "key", ca_file = "ca.pem" }\n'
    file = tmp_path / "gateway.toml"
    file.write_text(f'{UPSTREAM}[upstreams.app.scaling]\n{actuator}{ROUTE}[admin]\ntoken_file = "token"\n')
    (tmp_path / "ca.pem").write_text("")
    assert [(found.key, found.rule) for found in load(file).warnings] == [
        ("upstreams.app.scaling.actuator.secret_file", f'cannot be read: No such file or directory: "{tmp_path}/key"'),
        ("admin.token_file", f'cannot be read: No such file or directory: "{tmp_path}/token"'),
    ]
