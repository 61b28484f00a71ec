"""Where one process shall listen, and how it is told."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_BACKLOG: Final = 4096


class Door:
    """An address, ``url``, and what the command and its environment must say so that the process listens there.

    ``{fd}``: we bind a port ourselves and the process inherits the socket, so nobody else can have the port.
    ``{socket}``: a unix socket in a folder that only we may enter. Otherwise a port that is free now: somebody may take
    it before the process does; then that ends, and is started again elsewhere.
    """

    def __init__(self, command: Sequence[str], path: Callable[[], Path]) -> None:
        text = "\0".join(command)
        self.port = 0
        self.listener: socket.socket | None = None
        self.environment: dict[str, str] = {}
        if "{socket}" in text:
            self.path = path()
            self.path.unlink(missing_ok=True)
            self.url = f"unix:{self.path}"
            word, value = "{socket}", str(self.path)
        else:
            listener = socket.socket()
            try:
                listener.bind(("127.0.0.1", 0))
                self.port = listener.getsockname()[1]
                if "{fd}" in text:
                    listener.listen(_BACKLOG)
                    listener.set_inheritable(True)
                    self.listener = listener
                    word, value = "{fd}", str(listener.fileno())
                else:
                    word, value = "{port}", str(self.port)
                    self.environment["PORT"] = value
            except OSError:
                listener.close()
                raise
            if self.listener is None:
                listener.close()
            self.url = f"http://127.0.0.1:{self.port}"
        self.command = [argument.replace(word, value) for argument in command]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the process must inherit."""
        return () if self.listener is None else (self.listener.fileno(),)

    def hand_over(self) -> None:
        """Close our socket, the process has its own: who connects to a dead process shall be refused, not wait."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def __repr__(self) -> str:
        return f"<Door {self.url}>"
