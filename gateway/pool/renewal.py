"""Which processes are of the present order, and how a roll to other settings ends."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from gateway.pool.settings import Pool


class Before(Struct, frozen=True):
    """What holds again when a roll is taken back."""

    settings: Pool
    epoch: int


class Renewal:
    """Every order to replace all processes begins an epoch; what came to be in another one is outdated.

    A roll can be taken back: then the epoch before it is the present one again, and those that still live from it are
    not outdated any more.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.reason = ""
        self._newest = 0
        self._before: Before | None = None
        self._end: asyncio.Future[bool] | None = None

    def __repr__(self) -> str:
        """Say the epoch and whether a roll is under way."""
        return f"<Renewal epoch={self.epoch} rolling={self.is_rolling}>"

    @property
    def is_rolling(self) -> bool:
        """Whether a roll is under way."""
        return self._before is not None

    def begin(self, reason: str) -> None:
        """From now on everything that is there is outdated."""
        self._newest += 1
        self.epoch = self._newest
        self.reason = reason

    def begin_roll(self, settings: Pool) -> asyncio.Future[bool]:
        """The same, so that it can be taken back to these settings; the future tells whether it was not."""
        self._before = Before(settings, self.epoch)
        self._end = asyncio.get_running_loop().create_future()
        self.begin("roll")
        return self._end

    def back(self) -> Before | None:
        """Take the roll back; what holds again, None when there is no roll."""
        before = self._before
        if before is not None:
            self.epoch = before.epoch
            self.reason = "rolled_back"
        self.end(is_done=False)
        return before

    def end(self, *, is_done: bool) -> None:
        """The roll, if there is one, has come to its end."""
        self._before = None
        if self._end is not None and not self._end.done():
            self._end.set_result(is_done)
        self._end = None
