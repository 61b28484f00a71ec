"""Opens the door for KEDA, if that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.listeners import BindFailed

if TYPE_CHECKING:
    from gateway.keda.server import KedaServer
    from gateway.keda.settings import KedaSettings
    from gateway.keda.source import Board
    from gateway.telemetry.logs import Logger


async def listen_for_keda(settings: KedaSettings | None, board: Board, log: Logger) -> KedaServer | None:
    """A server that answers KEDA from the board; None when none is configured, BindFailed when it cannot be."""
    if settings is None:
        return None
    try:
        # An extra: who does not use it need not have it.
        from gateway.keda.server import KedaFailed, KedaServer  # noqa: PLC0415
    except ImportError:
        raise BindFailed(settings.listen, "gRPC is not installed", "pip install 'gateway[keda]'") from None
    server = KedaServer(board, settings, log)
    try:
        await server.start()
    except KedaFailed as error:
        raise BindFailed(settings.listen, str(error)) from None
    return server
