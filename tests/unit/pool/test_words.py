"""What lines of usual servers and loggers say of their level, and that nothing of them is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pool.words import Reader


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ('INFO:     127.0.0.1:50000 - "GET /ERROR HTTP/1.1" 200 OK', "info"),
        ("\x1b[33mWARNING\x1b[0m:  StatReload detected changes", "warning"),
        ("[2026-11-27 10:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:8)", "critical"),
        ("WARNING:root:disk is nearly full", "warning"),
        ("2026-11-27 10:00:00,123 ERROR django.request: Internal Server Error: /", "error"),
        ("2026-11-27 10:00:00.123 | DEBUG    | app:main:7 - loguru", "debug"),
        ('time="2026-11-27" level=warn msg="logfmt"', "warning"),
        ("FATAL: password authentication failed", "critical"),
        ("Listening at: http://127.0.0.1:8000", "info"),
        ("an ERRORLESS day", "info"),
        ("", "info"),
        ('{"level": "error", "msg": "x"}', "error"),
        ('{"level": 40, "msg": "pino"}', "warning"),
        ('{"severity": "NOTICE"}', "info"),
        ('{"levelname": "CRITICAL"}', "critical"),
        ('{"level": 3.5, "lvl": "debug"}', "debug"),
        ('{"level": {"a": 1}}', "info"),
        ("{}", "info"),
        ("{'level': 'error'}", "info"),
    ],
)
def test_the_level_of_a_line(line: str, level: str) -> None:
    """As uvicorn, gunicorn, Django, logging, loguru, logfmt, PostgreSQL, structlog and pino write it."""
    assert Reader().read(line).level == level


def test_a_traceback_is_an_error_to_its_last_line() -> None:
    """Indented lines belong to the one before; after the exception's own line a new one begins."""
    lines = [
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "    1 / 0",
        "ZeroDivisionError: division by zero",
        "served",
        "WARNING: two lines",
        "  of warning",
    ]
    reader = Reader()
    assert [reader.read(line).level for line in lines] == ["error"] * 4 + ["info", "warning", "warning"]


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_the_values_of_json_are_kept(fields: dict[str, object]) -> None:
    """Every field is there with its own bytes."""
    said = Reader().read(json.dumps(fields))
    assert said.fields is not None
    assert {key: json.loads(bytes(value)) for key, value in said.fields.items()} == fields


@pytest.mark.parametrize(
    "line", ["{", "{]}", '{"a": 1} trailing}', "{" * 5000 + "}" * 5000, '{"a": ' + "[" * 99_999 + "}"]
)
def test_what_is_no_object_is_text(line: str) -> None:
    """Broken or absurd JSON is a line like any other."""
    assert Reader().read(line) == ("info", line, None)


@given(st.text())
def test_any_text_can_be_read(line: str) -> None:
    """And is what it was."""
    assert Reader().read(line).text == line
