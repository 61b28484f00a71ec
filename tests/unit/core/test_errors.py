"""The vocabulary of refusals."""

from __future__ import annotations

import pytest

from gateway.core.errors import REASONS, BadRequest, GatewayError


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_can_be_raised_and_answered(reason: str) -> None:
    """A reason word brings its status and a sentence that ends."""
    error = GatewayError(reason, "seen")
    assert 400 <= error.status < 600
    assert error.title.endswith(".")
    assert reason.replace("_", "").isalpha()


def test_a_word_outside_the_vocabulary_cannot_be_raised() -> None:
    """Nobody invents a reason on the spot."""
    with pytest.raises(KeyError):
        BadRequest("because")
