"""aiobreaker's class on an injected clock, for who decides elsewhere: states, listeners, exclusions, error, decorator.

Built through public names only: its own storage, so that the reference is kept; ``fail_max`` that is never reached;
``open``, ``half_open``, ``close``, ``opens_at``, ``time_until_open``, ``call`` and ``call_async`` replaced.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiobreaker import (  # type: ignore[import-untyped] # the library has no annotations
    CircuitBreaker,
    CircuitBreakerError,
    CircuitBreakerState,
)
from aiobreaker.storage.memory import CircuitMemoryStorage  # type: ignore[import-untyped] # see above

from gateway.core.outcome import Outcome
from gateway.resilience.listeners import Guarded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiobreaker import CircuitBreakerListener

    from gateway.core.clock import Clock


class Refused(CircuitBreakerError):  # type: ignore[misc] # the library has no annotations
    """The breaker lets nobody through; perhaps again in ``retry_in`` seconds."""

    def __init__(self, message: str, reopen_time: datetime | None, retry_in: float) -> None:
        super().__init__(message, reopen_time)
        self.retry_in = retry_in

    @property
    def time_remaining(self) -> timedelta:
        """How long until it may let somebody through; at least 0, as of when this was raised."""
        return timedelta(seconds=self.retry_in)


class ClockedBreaker(ABC, CircuitBreaker):  # type: ignore[misc] # the library has no annotations
    """What is the library's in a breaker; :meth:`acquire` and :meth:`report` are what decides.

    ``callback_errors`` counts what listeners raised, ``last_error`` is the latest of it. A call that lasts ``patience``
    seconds or more and is then cancelled has timed out; one that is cancelled sooner says nothing.
    """

    def __init__(self, name: str, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._storage = CircuitMemoryStorage(CircuitBreakerState.CLOSED)
        self.callback_errors = 0
        self.last_error: Exception | None = None
        super().__init__(fail_max=sys.maxsize, state_storage=self._storage, name=name)

    @abstractmethod
    def acquire(self, now: float) -> int:
        """A token above 0, or 0 when refused."""

    @abstractmethod
    def report(self, token: int, outcome: Outcome, seconds: float, now: float) -> None:
        """Take a token back."""

    @abstractmethod
    def retry_in(self, now: float) -> float:
        """Seconds until somebody may get through."""

    @abstractmethod
    def open(self) -> None:
        """Let nobody through."""

    @abstractmethod
    def half_open(self) -> None:
        """Let probes through."""

    @abstractmethod
    def close(self) -> None:
        """Let everybody through."""

    def _tell_library(self, state: CircuitBreakerState) -> None:
        """Set the library's state, which calls its listeners when it changes."""
        if self._storage.state is state:
            return
        if state is CircuitBreakerState.OPEN:
            self._storage.opened_at = datetime.fromtimestamp(self._clock.wall(), UTC)
        self._storage.state = state
        self.state = state

    def _note_error(self, error: Exception) -> None:
        self.callback_errors += 1
        self.last_error = error

    @property
    def opens_at(self) -> datetime | None:
        """The wall time when it lets somebody through again; None when it does now."""
        seconds = self.retry_in(self._clock.now())
        return datetime.fromtimestamp(self._clock.wall() + seconds, UTC) if seconds else None

    @property
    def time_until_open(self) -> timedelta | None:
        """How long until it lets somebody through again; None when it does now."""
        seconds = self.retry_in(self._clock.now())
        return timedelta(seconds=seconds) if seconds else None

    def add_listener(self, listener: CircuitBreakerListener) -> None:
        """Tell ``listener`` about calls and transitions; what it raises is counted and ignored."""
        super().add_listener(Guarded(listener, self._note_error))

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the library's
        """Make a call if the breaker allows it; raises :class:`Refused` otherwise, and whatever the call raises."""
        if getattr(func, "_ignore_on_call", False):  # decorated: that one asks
            return func(*args, **kwargs)
        token, began = self._enter(func, args, kwargs)
        error: BaseException | None = None
        try:
            return func(*args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._leave(token, error, began)

    async def call_async(
        self,
        func: Callable[..., Awaitable[Any]],
        *args: Any,  # noqa: ANN401 - as the library's
        **kwargs: Any,  # noqa: ANN401 - as the library's
    ) -> Any:  # noqa: ANN401 - as the library's
        """Await a call if the breaker allows it; raises :class:`Refused` otherwise, and whatever the call raises."""
        if getattr(func, "_ignore_on_call", False):  # decorated: that one asks
            return await func(*args, **kwargs)
        token, began = self._enter(func, args, kwargs)
        error: BaseException | None = None
        try:
            return await func(*args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._leave(token, error, began)

    def _enter(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, float]:
        now = self._clock.now()
        token = self.acquire(now)
        if not token:
            message = f"breaker {self.name} lets nobody through"
            raise Refused(message, self.opens_at, self.retry_in(now))
        for listener in self.listeners:
            listener.before_call(self, func, *args, **kwargs)
        return token, now

    def _leave(self, token: int, error: BaseException | None, began: float) -> None:
        now = self._clock.now()
        outcome = self._outcome_of(error, now - began)
        if outcome is Outcome.SUCCESS:
            for listener in self.listeners:
                listener.success(self)
        elif outcome is not Outcome.NEUTRAL:
            for listener in self.listeners:
                listener.failure(self, error)
        self.report(token, outcome, now - began, now)

    def _outcome_of(self, error: BaseException | None, seconds: float) -> Outcome:
        if error is None:
            return Outcome.SUCCESS
        if not isinstance(error, Exception):  # cancelled
            return Outcome.TIMEOUT if seconds >= self._patience else Outcome.NEUTRAL
        if not self.is_system_error(error):
            return Outcome.NEUTRAL
        return Outcome.TIMEOUT if isinstance(error, TimeoutError) else Outcome.FAILURE
