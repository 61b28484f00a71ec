"""The TLS context of connections to endpoints: one for all, made off the loop.

To make one costs 40 ms, because the certificates of the system are read; all endpoints trust the same ones, and what
differs, the name in the certificate, belongs to the connection.
"""

from __future__ import annotations

import asyncio
import ssl


class ClientTls:
    """Makes the context when the first connection needs it, in a thread."""

    __slots__ = ("_context", "_making", "made")

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None
        self._making: asyncio.Future[ssl.SSLContext] | None = None
        self.made = 0

    async def context(self) -> ssl.SSLContext:
        """The context; whoever comes while it is made waits for the same."""
        if self._context is None:
            if self._making is None:
                self.made += 1
                self._making = asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
            making = self._making
            try:
                self._context = await asyncio.shield(making)
            finally:
                if making.done():
                    self._making = None
        return self._context

    def __repr__(self) -> str:
        return f"<ClientTls is_made={self._context is not None}>"
