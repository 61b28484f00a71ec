"""Keys that the product will act on and this version does not.

They are accepted so that one file can be written for several versions, and each is warned about, so
that nobody believes in a protection that is not there.
"""

from __future__ import annotations

from typing import Final

# "*" stands for any one name
PLANNED: Final[frozenset[tuple[str, ...]]] = frozenset(
    {
        ("fleet",),
    }
)


def planned_under(table: tuple[str | int, ...]) -> frozenset[str]:
    """The planned keys of one table."""
    return frozenset(
        pattern[-1]
        for pattern in PLANNED
        if len(pattern) == len(table) + 1
        and all(wanted in {"*", part} for wanted, part in zip(pattern, table, strict=False))
    )
