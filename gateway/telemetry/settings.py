"""What the operator may say about logs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """``format`` of every line on standard error; ``access`` says which requests get a line."""

    format: Annotated[Literal["json", "console"], Meta(description="of every line: json | console")] = "json"
    access: Annotated[
        Literal["all", "errors", "off"], Meta(description="which requests get a line: all | errors | off")
    ] = "errors"
