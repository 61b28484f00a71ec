"""The autoscalers that ours is compared with do what theirs do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.simulate.scaling.references import Hpa


@pytest.mark.parametrize(("usage", "desired"), [(4.3, 4), (4.5, 5), (3.7, 4)])
def test_an_hpa_compares_with_the_replicas_that_it_asked_for(usage: float, desired: int) -> None:
    """Not with those that are ready: while two of four still boot, 4.3 is within the tolerance of 10 %."""
    world: Any = SimpleNamespace(now=15, asked=4, ready=2, site=SimpleNamespace(least=1, most=20))
    assert Hpa(1.0, lambda _world, _seconds: usage).desired(world) == desired
