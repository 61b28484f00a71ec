"""Sends each decision to somebody who carries it out: a signed POST, repeated until it is answered.

The body is the decision as in the ledger. 2xx means that it is carried out, or will be. An answer of
``{"replicas": {"ready": 3, "warming": 2}}`` says how many there are; any other body is ignored.

Errors of the network, 408, 429 and 5xx are repeated with full jitter (Brooker, *Exponential Backoff and Jitter*, AWS
2015) until the time for a decision is used up; ``Retry-After`` in seconds is waited for on top. Every other status is
the receiver's last word. All repeats of one decision have one ``webhook-id``, so a receiver that keeps the ids it has
seen does nothing twice.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Annotated, Final

import aiohttp
from msgspec import DecodeError, Meta, Struct, json
from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_exponential

from gateway.actuators.actuator import ActuatorFailed, View
from gateway.actuators.belief import Belief
from gateway.actuators.signature import read_key, sign
from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tenacity import RetryCallState

    from gateway.core.clock import Clock
    from gateway.scaling.decision import Decision
    from gateway.telemetry.logs import Logger

_GOOD: Final = range(200, 300)
_REPEATABLE: Final = frozenset({408, 429})
_SERVER: Final = 500
_ATTEMPT: Final = 10.0
"""Seconds for one attempt, as the specification has senders wait at least 15 to 30 in all."""
_FIRST: Final = 0.25
_LONGEST: Final = 8.0
_LARGEST: Final = 64 * 1024

Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class Counted(Struct, frozen=True):
    """How many replicas a receiver says that there are."""

    ready: Count
    warming: Count = 0
    draining: Count = 0
    standby: Count = 0
    quarantined: Count = 0


class Answer(Struct, frozen=True):
    """What a receiver may answer."""

    replicas: Counted | None = None


class _Again(Exception):
    """An attempt failed, and the next may not; ``after`` is what the receiver asked us to wait, in seconds."""

    def __init__(self, reason: str, detail: str, after: float = 0.0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.after = after


class Webhook:
    """Posts to ``url``; ``timeout`` bounds all attempts of a decision, in seconds."""

    def __init__(  # noqa: PLR0913 - where to, how, and the shell's tools
        self,
        url: str,
        secret_file: Path,
        *,
        clock: Clock,
        rng: Random,
        log: Logger,
        ca_file: Path | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._url = url
        self._secret_file = secret_file
        self._ca_file = ca_file
        self._ca: bytes | None = None
        self._clock = clock
        self._rng = rng
        self._log = log
        self._timeout = timeout
        self._belief = Belief(clock)
        self._problem = ""
        # decisions count from 1 in every run, and what a receiver remembers is older than that
        self._run = f"{rng.getrandbits(48):012x}"
        self._session: aiohttp.ClientSession | None = None
        self._backoff = wait_exponential(multiplier=_FIRST, max=_LONGEST)
        self._proto = AsyncRetrying(
            retry=retry_if_exception_type(_Again), stop=stop_never, wait=self._wait, reraise=True
        )

    @property
    def view(self) -> View:
        """What the receiver said, or what was carried out last."""
        view = self._belief.view
        return View(at=view.at, replicas=view.replicas, problem=self._problem)

    def start(self) -> None:
        """Nothing to watch."""

    def tell(self, replicas: Replicas) -> None:
        """So many replicas there are now, by somebody who can count them."""
        self._belief.tell(replicas)

    async def apply(self, decision: Decision) -> None:
        """Send it; ActuatorFailed when it was not taken in time."""
        try:
            answer = await self._send(json.encode(decision), self.message_id(decision))
        except ActuatorFailed as error:
            self._problem = str(error)
            raise
        self._problem = ""
        self._belief.carried_out(decision.after, answer)

    async def stop(self) -> None:
        """End the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def message_id(self, decision: Decision) -> str:
        """The ``webhook-id`` of a decision: the same for each repeat, another one after a restart."""
        return f"{decision.id}-{self._run}".replace(".", "_")

    async def _send(self, body: bytes, message_id: str) -> Replicas | None:
        key = self._key()
        last: _Again | None = None
        # tenacity's objects keep what they know of an attempt in themselves, so each decision has its own
        retrying = self._proto.copy()
        try:
            async with asyncio.timeout(self._timeout):
                async for attempt in retrying:
                    with attempt:
                        try:
                            return await self._post(key, body, message_id)
                        except _Again as error:
                            last = error
                            raise
        except TimeoutError as error:
            reason, detail = (last.reason, last.detail) if last else ("timeout", "no answer")
            message = f"{detail}; given up after {self._timeout:g} s"
            raise ActuatorFailed(reason, message) from error
        return None

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        after = error.after if isinstance(error, _Again) else 0.0
        return after + self._rng.random() * float(self._backoff(state))

    async def _post(self, key: bytes, body: bytes, message_id: str) -> Replicas | None:
        session = await self._open()
        headers = {"Content-Type": "application/json", "User-Agent": "gateway"}
        headers |= sign(key, message_id, int(self._clock.wall()), body)
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                if response.status in _GOOD:
                    return self._read(await _some(response))
                said = f"the receiver answered {response.status}"
                if response.status >= _SERVER or response.status in _REPEATABLE:
                    raise _Again("unavailable", said, _seconds(response.headers.get("Retry-After", "")))
                raise ActuatorFailed("refused", said)
        except ssl.SSLCertVerificationError as error:
            raise ActuatorFailed("untrusted", f"the receiver's certificate is not believed: {error}") from error
        except TimeoutError as error:
            raise _Again("timeout", "no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _Again("unreachable", str(error) or type(error).__name__) from error

    async def _open(self) -> aiohttp.ClientSession:
        """The session; a new one when the CA file is another, because certificates are rotated."""
        try:
            ca = None if self._ca_file is None else self._ca_file.read_bytes()
            if self._session is not None and ca != self._ca:
                await self.stop()
            if self._session is None:
                tls = ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ActuatorFailed("no_ca", f"{self._ca_file} cannot be used: {error}") from error
        if self._session is None:
            self._ca = ca
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=min(_ATTEMPT, self._timeout)),
            )
        return self._session

    def _key(self) -> bytes:
        """Read anew for each decision, because secrets are rotated."""
        try:
            return read_key(self._secret_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ActuatorFailed("no_secret", f"{self._secret_file} cannot be used: {why}") from error

    def _read(self, body: bytes) -> Replicas | None:
        try:
            answer = json.decode(body, type=Answer) if body.lstrip()[:1] == b"{" else Answer()
        except (DecodeError, UnicodeDecodeError) as error:
            self._log.warning("webhook answer ignored", error=str(error))
            return None
        found = answer.replicas
        if found is None:
            return None
        return Replicas(
            ready=found.ready,
            warming=found.warming,
            draining=found.draining,
            standby=found.standby,
            quarantined=found.quarantined,
        )

    def __repr__(self) -> str:
        return f"<Webhook {self._url} {self._problem or 'well'}>"


async def _some(response: aiohttp.ClientResponse) -> bytes:
    """The body when it is short, else nothing: long answers are not for us."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _LARGEST:
            return b""
    return body


def _seconds(text: str) -> float:
    """Retry-After in seconds, its dates left out; at most an hour."""
    return float(min(int(text), 3600)) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0  # noqa: PLR2004
