"""What the operator may say about logs."""

from __future__ import annotations

import os
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Path = Annotated[str, Meta(extra={"format": "path"})]
_STANDARD_ERROR: Final = 2


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """``format`` of every line on standard error; ``access`` says which requests get a line."""

    format: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="of every line: json, console (for people), or auto: console on a terminal, json elsewhere"),
    ] = "auto"
    access: Annotated[
        Literal["all", "errors", "off"],
        Meta(description="which requests get a line: all, errors (at most 20 a second for each reason), off"),
    ] = "errors"
    quiet: Annotated[
        tuple[Path, ...],
        Meta(
            description="paths of health checks: with access = all, requests for them get a line only for an error",
            examples=[["/healthz", "/internal/*"]],
        ),
    ] = ()

    @property
    def is_for_people(self) -> bool:
        """Whether lines are for people to read, and not for programs."""
        if self.format != "auto":
            return self.format == "console"
        try:
            return os.isatty(_STANDARD_ERROR)
        except OSError:
            return False
