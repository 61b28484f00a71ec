"""What limits have learned, kept over the death of a worker and over a restart.

A small JSON file: ``version``, ``at`` (wall time), and by upstream what each worker's limit remembered. It is replaced
as a whole, so that it is never half written. Nothing depends on it: a directory that cannot be written and a file that
makes no sense are a line in the log.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.telemetry.logs import Logger
    from gateway.telemetry.snapshot import Snapshot

VERSION: Final = 1
_LARGEST: Final = 1_000_000
_KEPT: Final = 30 * 86_400.0
"""Seconds; a configuration file that was not served for so long has gone, or what was learned of it says nothing."""
# One for each configuration file, and what a write that was cut short has left.
_FILES: Final = "limits-" + 12 * "[0-9a-f]" + ".*"


def state_file(directory: str, config: str) -> Path | None:
    """The file for a gateway with this configuration file; None when nothing is to be kept."""
    if not directory or not config:
        return None
    if directory == "auto":
        home = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        directory = home or os.path.join(  # noqa: PTH118 - parts may be empty
            os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"),  # noqa: PTH111
            "gateway",
        )
    name = sha256(os.fsencode(os.path.abspath(config))).hexdigest()[:12]  # noqa: PTH100
    return Path(directory) / f"limits-{name}.json"


class Recollection:
    """The newest states by worker and upstream, each with the wall time at which it was heard."""

    def __init__(self, path: Path | None, log: Logger) -> None:
        self._path = path
        self._log = log
        self._states: dict[int, dict[str, dict[str, Any]]] = {}
        self._heard: dict[int, float] = {}
        self._has_failed = False

    def read(self, wall: float) -> None:
        """Take what an earlier gateway has left; remove what others left and have not written for thirty days."""
        if self._path is None:
            return
        self._tidy(wall - _KEPT)
        try:
            if self._path.stat().st_size > _LARGEST:
                raise ValueError("too large")  # noqa: TRY301 - said once, below
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if found["version"] != VERSION:
                raise ValueError("of another version")  # noqa: TRY301
            at = min(float(found["at"]), wall)
            self._states = {int(number): dict(states) for number, states in found["workers"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._states = {}
            self._log.warning("state ignored", file=str(self._path), error=str(error))
            return
        self._heard = dict.fromkeys(self._states, at)
        self._log.info("state read", file=str(self._path), age=round(wall - at, 1))

    def _tidy(self, oldest: float) -> None:
        assert self._path is not None  # noqa: S101 - the caller knows
        for file in self._path.parent.glob(_FILES):
            with suppress(OSError):  # another gateway removes it as well, or it is not ours to remove
                if file.stat().st_mtime < oldest:
                    file.unlink()
                    self._log.info("state removed", file=str(file))

    def note(self, living: Mapping[int, Snapshot], news: Mapping[int, Collection[str]], wall: float) -> None:
        """Take what workers have said of these upstreams; one that has learned nothing yet leaves what was known."""
        for number, names in news.items():
            gates = living[number].gates if number in living else {}
            states = {name: gates[name].remembered for name in names if name in gates and gates[name].remembered}
            if states:
                self._states[number] = {**self._states.get(number, {}), **states}
                self._heard[number] = wall

    def of(self, number: int, workers: int, wall: float) -> dict[str, tuple[dict[str, Any], float]]:
        """What a new worker begins with: state and age in seconds by upstream; of another one when it is new."""
        if not self._states:
            return {}
        known = number if number in self._states else min(self._states)
        if known != number and workers > len(self._states):
            return {}  # shares were larger then
        age = max(wall - self._heard[known], 0.0)
        return {name: (state, age) for name, state in self._states[known].items() if isinstance(state, dict)}

    def write(self) -> None:
        """Replace the file."""
        if self._path is None or not self._states:
            return
        data = {
            "version": VERSION,
            "at": max(self._heard.values()),
            "workers": {str(number): states for number, states in self._states.items()},
        }
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(data) + "\n", encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                self._log.info("state not kept", file=str(self._path), error=error.strerror)

    def __repr__(self) -> str:
        return f"<Recollection workers={sorted(self._states)}>"
