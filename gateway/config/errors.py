"""What is wrong with a configuration file, said so that somebody can repair it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Problem(NamedTuple):
    """One thing to repair (or to know, for a warning).

    ``rule`` says what is expected, ``value`` what is written, already free of secrets, ``nearest`` the
    valid word that was probably meant. ``line`` and ``column`` count from 1; 0 = not known.
    """

    file: str
    line: int
    key: str
    rule: str
    value: str = ""
    nearest: str = ""
    column: int = 0

    def __str__(self) -> str:
        """One line: ``file:line: key: rule; got value; did you mean …?``."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        parts = [self.rule]
        if self.value:
            parts.append(f"got {self.value}")
        if self.nearest:
            parts.append(f'did you mean "{self.nearest}"?')
        return ": ".join(part for part in (place, self.key, "; ".join(parts)) if part)


class ConfigError(Exception):
    """The file cannot be used; ``problems`` has every reason, in the order of lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnreadableFile(ConfigError):
    """The file is missing, not a file, not permitted or not UTF-8."""


class InvalidToml(ConfigError):
    """The file is not TOML; line and column say where the reader stopped."""


class InvalidConfig(ConfigError):
    """The file is TOML, but not a configuration of this gateway."""
