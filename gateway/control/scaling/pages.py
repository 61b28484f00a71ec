"""The pages of the admin address about signals and scaling."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway.control.answers import as_json
from gateway.control.connections import problem
from gateway.control.scaling.published import queue_page, record_page, target_page
from gateway.control.scaling.wall import wall_text
from gateway.signals.signals import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from gateway.control.scaling.loop import Scaling
    from gateway.core.clock import Clock

TARGETS: Final = "/v1/signals/"
DECISIONS: Final = "/v1/decisions/"


class ScalingPages:
    """Answers from one control process's signals and decisions; ``scaling`` gives them when it has started."""

    def __init__(self, scaling: Callable[[], Scaling], clock: Clock) -> None:
        self._scaling = scaling
        self._clock = clock

    def signals(self, _request: web.BaseRequest) -> web.Response:
        """Every target."""
        now = wall_text(self._clock.wall())
        targets = self._scaling().targets
        found = {name: target_page(target, now) for name, target in targets.items()}
        return as_json({"schema": SCHEMA, "generated_at": now, "targets": found})

    def target(self, request: web.BaseRequest) -> web.Response:
        """One target, flat; with 503 while its numbers say nothing about the present.

        A scaler that reads numbers alone must see a failure then, and not take old ones for new.
        """
        found = self._scaling().targets.get(request.path.removeprefix(TARGETS))
        if found is None:
            return problem(HTTPStatus.NOT_FOUND)
        status = HTTPStatus.OK if found.signals.signal_valid else HTTPStatus.SERVICE_UNAVAILABLE
        return as_json(target_page(found, wall_text(self._clock.wall())), status)

    def queue(self, _request: web.BaseRequest) -> web.Response:
        """What KEDA's http-add-on asks an interceptor; with 503 while any of the counts says nothing about the present.

        It takes what is not there for 0, and 0 for a reason to end the last replica.
        """
        scaling = self._scaling()
        targets = scaling.targets.values()
        is_known = all(target.signals.signal_valid for target in targets)
        status = HTTPStatus.OK if is_known else HTTPStatus.SERVICE_UNAVAILABLE
        return as_json(queue_page(targets, scaling.seen()), status)

    def decisions(self) -> list[object]:
        """The newest scaling decisions, newest first."""
        return [record_page(record) for record in self._scaling().records]

    def decision(self, request: web.BaseRequest) -> web.Response:
        """One scaling decision with what became of it."""
        record = self._scaling().records.get(request.path.removeprefix(DECISIONS))
        return problem(HTTPStatus.NOT_FOUND) if record is None else as_json(record_page(record))
