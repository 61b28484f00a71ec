"""How many processes may begin to boot now? (pure)."""

from __future__ import annotations


def free_starts(booting: int, *, starts: int, cores: int, is_serving: bool) -> int:
    """How many more may begin to boot; ``starts`` at a time (0 = half the cores, at least one).

    A boot takes the processor from those that serve. While nobody serves there is nothing to take, and each core may
    boot one.
    """
    most = starts or max(1, cores // 2)
    if not is_serving:
        most = max(most, cores)
    return max(0, most - booting)
