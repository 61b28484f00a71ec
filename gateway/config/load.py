"""From the name of a file to settings that hold, or every reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec

from gateway.config import meaning
from gateway.config.bounds import with_moved_defaults
from gateway.config.document import read
from gateway.config.encoding import from_plain
from gateway.config.errors import InvalidConfig, Problem
from gateway.config.settings import Settings
from gateway.config.walk import Walk


class Loaded(NamedTuple):
    """A file that can be used: ``settings`` with absolute file names, and what is worth knowing."""

    path: Path
    settings: Settings
    warnings: tuple[Problem, ...]


def load(path: Path | str) -> Loaded:
    """Read a configuration file, or standard input for ``-``; ConfigError with every problem when it cannot be used."""
    file = Path(path)
    document = read(file)
    walk = Walk(document)
    fitting = walk.settings(Settings)
    for name in ("upstreams", "routes"):
        fitting.setdefault(name, {})
    settings = with_moved_defaults(_convert(fitting), document.data)
    settings = meaning.with_full_paths(settings, file.absolute().parent)
    meaning.check(walk, document, settings)
    if walk.problems:
        raise InvalidConfig(walk.problems)
    return Loaded(document.file, settings, tuple(sorted(walk.warnings, key=lambda warning: warning.line)))


def _convert(fitting: dict[str, Any]) -> Settings:
    """Convert part by part: how many upstreams and routes there must be has been judged already."""
    kinds = get_type_hints(Settings)
    return Settings(**{name: msgspec.convert(part, kinds[name], dec_hook=from_plain) for name, part in fitting.items()})
