"""How a request or an attempt ended, as far as its upstream is concerned."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Outcome(Enum):
    """What an end teaches whoever learns from it: limits, breakers, balancers."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    NEUTRAL = "neutral"  # the client left, or it was our doing: it says nothing about the upstream


SUCCESS: Final = Outcome.SUCCESS
"""For the path: an attribute of an enumeration takes four times as long as a name of the module."""
NEUTRAL: Final = Outcome.NEUTRAL
FAILURE: Final = Outcome.FAILURE
