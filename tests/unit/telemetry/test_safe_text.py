"""Nothing that a stranger writes starts a line, moves a cursor, or shows a secret."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import shown
from gateway.core.secrets import is_secret
from gateway.telemetry.escape import escape, one_line
from gateway.telemetry.redact import redact_target, redact_text


@given(st.text(st.characters(codec=None)))
def test_escaped_text_is_one_printable_line_and_can_be_read_back(text: str) -> None:
    """Escaping gives printable characters only, and different texts stay different."""
    escaped = escape(text)
    assert escaped.isprintable()
    assert ast.literal_eval('"' + escaped.replace('"', '\\"') + '"') == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain é 漢 😀", "plain é 漢 😀"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x1b[31mred\x07\x9b", "\\x1b[31mred\\x07\\x9b"),
        ("\u202eright\u2066\u2028\u2029\u0085\ufeff", "\\u202eright\\u2066\\u2028\\u2029\\x85\\ufeff"),
        ("\\n", "\\\\n"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_is_escaped(text: str, escaped: str) -> None:
    """Controls, ESC, bidirectional marks, separators and lone surrogates are written out; letters are not."""
    assert escape(text) == escaped


def test_long_text_is_cut() -> None:
    """What is over the limit is replaced by one character that says so."""
    assert one_line("a" * 10, 10) == "a" * 10
    assert one_line("a" * 11, 10) == "a" * 10 + "…"


@pytest.mark.parametrize(
    "name",
    [
        *("token", "access_token", "accessToken", "X-Amz-Signature", "sig", "api_key", "apikey", "key", "auth"),
        *("Authorization", "proxy-authorization", "Set-Cookie", "cookie", "password", "PASSWD", "client_secret"),
        *("session", "sid", "jwt", "code", "X-Amz-Credential", "db_pwd", "private-key"),
        *("passphrase", "ssl_passphrase", "bearer", "SAMLResponse", "saml-request", "X-CSRF-Token", "xsrfToken"),
        *("x-api-key", "AccountKey", "code_verifier", "pin", "connectionString"),
    ],
)
def test_secret_names(name: str) -> None:
    """Names that usually hold a secret are known, however they are written."""
    assert is_secret(name)


@pytest.mark.parametrize("name", ["author", "monkey", "design", "keyboard", "code2", "country", "page", "q", "status"])
def test_plain_names(name: str) -> None:
    """Names that merely contain such letters are not taken for secrets."""
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("target", "redacted"),
    [
        ("/a?x=1&y=2", "/a?x=1&y=2"),
        ("/a?token=abc&y=2", "/a?token=***&y=2"),
        ("/a?y=2&%74oken=abc", "/a?y=2&%74oken=***"),
        ("/a?api%5Fkey=abc", "/a?api%5Fkey=***"),
        ("/a?y=1;token=abc;z", "/a?y=1;token=***"),
        ("/a;jsessionid=1;sid=9?x=1", "/a;jsessionid=***"),
        ("/a?x=1?token=abc", "/a?x=1?token=***"),
        ("http://user:pw@host/a?x=1", "http://***@host/a?x=1"),
        ("/a?next=http://u:p@h/", "/a?next=http://***@h/"),
        ("/a?token", "/a?token"),
        ("/a?token=a=b", "/a?token=***"),
    ],
)
def test_targets(target: str, redacted: str) -> None:
    """Secret parameters and userinfo are hidden in a target, and nothing else."""
    assert redact_target(target) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic S3CRET==",
        "authorization:S3CRET",
        "('Authorization', 'Bearer S3CRET')",
        "{'Cookie': 'a=1; b=S3CRET'}",
        "b'Set-Cookie: id=S3CRET; Path=/\\r\\n'",
        "Proxy-Authorization: Digest username=x, response=S3CRET",
        "redis://:S3CRET@cache:6379/0",
        "postgres://me:S3C@RET:S3CRET@db/x",
        "GET /a?access_token=S3CRET HTTP/1.1",
        "retry with password=S3CRET now",
        "sent Bearer S3CRET-123",
        'body {"user": "u", "password": "S3CRET"}',
        '{"a": 1, "passphrase" : "correct \\"S3CRET horse", "b": 2}',
        '{\\"client_secret\\": \\"S3CRET\\"}',
        "{'password': 'S3CRET'}",
        "{b'api_key': b'S3CRET'}",
        '{"pin": S3CRET}',
        '{"password": "cut S3CRET',
        'passphrase = "correct S3CRET"',
        "passphrase: correct S3CRET battery",
        "X-Api-Key: S3CRET",
        "X-CSRF-Token: S3CRET",
        "SAMLResponse=S3CRET&RelayState=x",
        "bearer: S3CRET",
        "<Password>S3CRET</Password>",
        "<wsse:Password Type='x'>S3CRET</wsse:Password>",
        "('X-Api-Key', 'S3CRET')",
    ],
)
def test_texts(text: str) -> None:
    """Secrets in free text are hidden however they are quoted."""
    assert "S3CRET" not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "ended with code: 3",
        "KeyError: 'upstream'",
        'status: 503, reason: "queue_full"',
        "connect to http://127.0.0.1:9001: Connection refused",
        "monkey=1 page: 2 {'country': 'at'}",
        "line 3: expected a key: value pair",
    ],
)
def test_texts_without_a_secret_stay(text: str) -> None:
    """What may be anything, as "code: 3", is left alone in sentences."""
    assert redact_text(text) == text


@given(st.text(st.sampled_from(list("\\\"'=:,<> {}atoken")), max_size=300))
def test_a_redaction_hides_nothing_more_the_second_time(text: str) -> None:
    """And it ends, whatever quotes and backslashes stand there."""
    once = redact_text(text)
    assert redact_text(once).count("***") >= once.count("***")


def test_other_lines_survive_a_redaction() -> None:
    """Hiding a field's value hides its line only."""
    assert redact_text("Cookie: a\r\nHost: x") == "Cookie: ***\r\nHost: x"


@pytest.mark.parametrize("name", ["passphrase", "X-Api-Key", "SAMLResponse", "Cookie", "db_pwd", "bearer", "session"])
def test_one_list_for_logs_and_configuration(name: str) -> None:
    """What a log hides, a problem of the configuration hides too; our own keys that name a file or a field are shown."""
    assert shown.value("S3CRET", ("routes", "r", "set_headers", name)) == '"***"'
    assert shown.value("keda.key", ("keda", "tls", "key")) == '"keda.key"'
