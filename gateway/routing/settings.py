"""What the operator may say about which request a route takes."""

from __future__ import annotations

from msgspec import Struct, field


class Match(Struct, frozen=True, forbid_unknown_fields=True):
    """A request matches when all that is said here holds; what is not said matches everything.

    ``hosts`` are names or wildcards (``*.example.com``), ``path`` is exact, a prefix (``/shop/*``) or has
    parameters (``/users/{id}``), ``headers`` are exact values.
    """

    hosts: tuple[str, ...] = ()
    path: str = "/*"
    methods: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
