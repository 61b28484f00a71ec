"""``${NAME}`` and ``${NAME:-default}`` in the texts of a configuration file.

The value of the environment variable stands in their place; the default does where it is not set, or empty. ``$${`` is
``${`` itself. A value that is put in is not read again, and keys are never replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config.shown import Path

_PLACE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_RULE: Final = 'expected "${NAME}" or "${NAME:-default}"; "$${" is "${" itself'


def with_variables(
    data: dict[str, Any], environment: Mapping[str, str], on_problem: Callable[[Path, str], None]
) -> tuple[dict[str, Any], dict[Path, str]]:
    """The document with every variable replaced, and the texts that had one, as written, by their path.

    ``on_problem`` is called with a path and the rule that is broken there.
    """
    written: dict[Path, str] = {}

    def visit(value: Any, path: Path) -> Any:  # noqa: ANN401 - any TOML value
        if isinstance(value, dict):
            return {key: visit(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [visit(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            found = _expanded(value, environment)
        except ValueError as error:
            on_problem(path, str(error))
            return value
        written[path] = value
        return found

    return visit(data, ()), written


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    def value_of(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found[1], found[2]
        if name is None:
            raise ValueError(_RULE)
        value = environment.get(name)
        if value is None and default is None:
            message = (
                f"the environment variable {name} is not set; "
                f'"${{{name}:-…}}" gives a default, and "$${{{name}}}" leaves the text to whoever reads it later'
            )
            raise ValueError(message)
        return value or default or ""

    return _PLACE.sub(value_of, text)
