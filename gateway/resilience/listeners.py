"""Listeners that cannot do harm: aiobreaker calls them in the middle of a transition, and one that raises blocks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiobreaker import CircuitBreakerListener  # type: ignore[import-untyped] # the library has no annotations

if TYPE_CHECKING:
    from collections.abc import Callable


class Guarded(CircuitBreakerListener):  # type: ignore[misc] # see above
    """Passes everything on to ``listener``; what it raises goes to ``on_error`` instead of the breaker.

    Equal to its listener, so that :meth:`aiobreaker.CircuitBreaker.remove_listener` finds it.
    """

    def __init__(self, listener: CircuitBreakerListener, on_error: Callable[[Exception], None]) -> None:
        self.listener = listener
        self._on_error = on_error

    def before_call(self, breaker: Any, func: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the library's
        """A call is about to be made."""
        self._pass_on(self.listener.before_call, breaker, func, *args, **kwargs)

    def failure(self, breaker: Any, exception: Exception) -> None:  # noqa: ANN401 - the library's
        """A call failed."""
        self._pass_on(self.listener.failure, breaker, exception)

    def success(self, breaker: Any) -> None:  # noqa: ANN401 - the library's
        """A call succeeded."""
        self._pass_on(self.listener.success, breaker)

    def state_change(self, breaker: Any, old: Any, new: Any) -> None:  # noqa: ANN401 - the library's
        """The state has changed."""
        self._pass_on(self.listener.state_change, breaker, old, new)

    def _pass_on(self, tell: Callable[..., None], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - see above
        try:
            tell(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the breaker goes on
            self._on_error(error)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.listener

    def __hash__(self) -> int:
        return hash(self.listener)
