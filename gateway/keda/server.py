"""Answers KEDA over gRPC."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
import grpc.aio

from gateway.keda.answers import Unanswerable, is_active, read_wanted, sizes, values
from gateway.keda.messages import SERVICE, read_question, read_reference, write_active, write_specs, write_values
from gateway.keda.steady import Steady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from gateway.keda.answers import Wanted
    from gateway.keda.messages import Amount, Question, Reference
    from gateway.keda.settings import KedaSettings, KedaTls
    from gateway.keda.source import Source
    from gateway.telemetry.logs import Logger

    Context = grpc.aio.ServicerContext[Any, Any]

_CODES: Final = {
    "not_found": grpc.StatusCode.NOT_FOUND,
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
}
_AGAIN: Final = 5.0
"""Seconds after which a stream looks again although nothing was published: signals grow old in silence."""
_GRACE: Final = 2.0
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a second gateway must hear that the port is taken
    ("grpc.max_receive_message_length", 65536),
    ("grpc.max_concurrent_streams", 1000),
    ("grpc.keepalive_time_ms", 60_000),  # a client that vanished with its node does not keep its streams
)


class KedaFailed(Exception):
    """The scaler could not start; the message says what to do."""


class KedaServer:
    """The ExternalScaler service on one address; ``port`` is what it listens on once started (0 for a unix socket)."""

    def __init__(self, source: Source, settings: KedaSettings, log: Logger) -> None:
        self.port = 0
        self._source = source
        self._settings = settings
        self._log = log
        self._steady = Steady()
        self._server: grpc.aio.Server | None = None
        self._ending: asyncio.Future[None] | None = None
        self._complaints: set[str] = set()

    async def start(self) -> None:
        """Listen; raises :class:`KedaFailed` when the address or the files cannot be used."""
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((self._handlers(),))
        listen = self._settings.listen
        tls = self._settings.tls
        try:
            self.port = (
                server.add_insecure_port(listen) if tls is None else server.add_secure_port(listen, _credentials(tls))
            )
        except RuntimeError as error:
            await server.stop(None)
            message = f"cannot listen on {listen} for KEDA: is it taken, or forbidden?"
            raise KedaFailed(message) from error
        self._ending = asyncio.get_running_loop().create_future()
        await server.start()
        self._server = server
        self._log.info("keda scaler listens", address=listen, port=self.port, tls=tls is not None)

    async def stop(self) -> None:
        """End all streams, each with a proper end, and then the server."""
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(None)
        if self._server is not None:
            await self._server.stop(_GRACE)
            self._server = None

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "IsActive": unary(self._is_active, read_reference, write_active),
                "StreamIsActive": stream(self._stream_active, read_reference, write_active),
                "GetMetricSpec": unary(self._specs, read_reference, write_specs),
                "GetMetrics": unary(self._values, read_question, write_values),
                "StreamMetricSpec": stream(self._stream_specs, read_reference, write_specs),
            },
        )

    async def _is_active(self, reference: Reference, context: Context) -> bool:
        try:
            wanted = self._wanted(reference)
        except Unanswerable as error:
            await self._refuse(context, reference, error)
        return is_active(wanted, self._source.flat(wanted.target))

    async def _specs(self, reference: Reference, context: Context) -> tuple[Amount, ...]:
        try:
            wanted = self._wanted(reference)
            return self._sizes(wanted, self._source.flat(wanted.target))
        except Unanswerable as error:
            await self._refuse(context, reference, error)

    async def _values(self, question: Question, context: Context) -> tuple[Amount, ...]:
        try:
            wanted = self._wanted(question.reference)
            return values(wanted, self._source.flat(wanted.target), question.metric)
        except Unanswerable as error:
            await self._refuse(context, question.reference, error)

    async def _stream_active(self, reference: Reference, context: Context) -> AsyncIterator[bool]:
        try:
            wanted = self._wanted(reference)
        except Unanswerable as error:
            await self._refuse(context, reference, error)
        last: bool | None = None
        while True:
            flat = self._source.flat(wanted.target)
            now = is_active(wanted, flat)
            if now != last:
                last = now
                yield now
                continue  # sending may have taken long
            if not await self._goes_on(wanted.target, flat):
                return

    async def _stream_specs(self, reference: Reference, context: Context) -> AsyncIterator[tuple[Amount, ...]]:
        last: tuple[Amount, ...] | None = None
        while True:
            try:
                wanted = self._wanted(reference)
                flat = self._source.flat(wanted.target)
                now = self._sizes(wanted, flat)
            except Unanswerable as error:
                await self._refuse(context, reference, error)
            if now != last:
                last = now
                yield now
                continue
            if not await self._goes_on(wanted.target, flat):
                return

    async def _goes_on(self, target: str, flat: Mapping[str, float] | None) -> bool:
        """Wait until there may be something new; False when the server ends."""
        assert self._ending is not None  # noqa: S101 - a handler runs in a started server
        change = asyncio.ensure_future(self._source.changed(target, -1.0 if flat is None else flat.get("seq", -1.0)))
        try:
            await asyncio.wait({change, self._ending}, timeout=_AGAIN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
        return not self._ending.done()

    def _wanted(self, reference: Reference) -> Wanted:
        return read_wanted(reference.metadata, self._source.targets())

    def _sizes(self, wanted: Wanted, flat: Mapping[str, float] | None) -> tuple[Amount, ...]:
        # K stands while signals are old: it is what a replica can do, and not what is asked of it
        slots = 0.0 if flat is None else flat.get("slots_per_replica", 0.0)
        return sizes(wanted, flat, self._steady.follow(wanted.target, slots) if slots > 0 else None)

    async def _refuse(self, context: Context, reference: Reference, error: Unanswerable) -> NoReturn:
        """Answer with an error; each that somebody must mend is logged once."""
        said = f"{reference.namespace}/{reference.name}: {error.detail}"
        if error.why != "unavailable" and said not in self._complaints and len(self._complaints) < 100:  # noqa: PLR2004
            self._complaints.add(said)
            self._log.warning("keda trigger cannot be answered", scaled_object=said, reason=error.why)
        await context.abort(_CODES[error.why], error.detail)
        raise AssertionError  # abort raises

    def __repr__(self) -> str:
        return f"<KedaServer {self._settings.listen} {'up' if self._server else 'down'}>"


def _credentials(tls: KedaTls) -> grpc.ServerCredentials:
    try:
        pair = (Path(tls.key).read_bytes(), Path(tls.certificate).read_bytes())
        ca = None if tls.client_ca is None else Path(tls.client_ca).read_bytes()
    except OSError as error:
        message = f"{error.filename} cannot be read: {error.strerror}"
        raise KedaFailed(message) from error
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)
