"""What is said of an upstream, and when that is a reason to send no traffic here."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.control.readiness import judge, reasons, remarks


@pytest.mark.parametrize(
    ("facts", "is_ready", "up", "remark"),
    [
        ({"endpoints": 2}, True, 2, ""),
        ({"endpoints": 2, "down": 1}, True, 1, ""),
        ({"endpoints": 2, "down": 2}, False, 0, "every endpoint of app fails its checks"),
        ({"endpoints": 0}, False, 0, "upstream app has no endpoint"),
        ({"endpoints": 0, "is_pool": True}, False, 0, "no process of pool app is ready"),
        ({"endpoints": 2, "is_shut": True}, True, 2, "the breakers of app are open"),
        ({"endpoints": 1, "lost": ("a.example",)}, True, 1, "not resolved: a.example"),
    ],
)
def test_one_upstream(facts: dict[str, Any], is_ready: bool, up: int, remark: str) -> None:  # noqa: FBT001 - pytest passes by name
    """It can be served while an endpoint is not spoken against by its checks; the rest are remarks."""
    found = judge("app", **{"down": 0, "is_pool": False, "is_shut": False, **facts})
    assert (found.ready, found.up, found.remark) == (is_ready, up, remark)


def test_only_when_nothing_can_be_served_it_is_a_reason() -> None:
    """Else it is a remark, and the others' requests are welcome."""
    well = judge("a", endpoints=1, down=0, is_pool=False, is_shut=False)
    ill = judge("b", endpoints=0, down=0, is_pool=True, is_shut=False)
    assert reasons({"a": well, "b": ill}) == ()
    assert remarks({"a": well, "b": ill}) == ("no process of pool b is ready",)
    assert reasons({"b": ill}) == ("no process of pool b is ready",)
