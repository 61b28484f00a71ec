"""What an evil upstream does with a request, for :meth:`tests.support.origin.Origin.on`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tests.support.origin import Behaviour, Exchange

Then = Literal["keep", "close", "reset", "hang"]


async def _finish(exchange: Exchange, then: Then) -> None:
    if then == "close":
        exchange.wire.close()
    elif then == "reset":
        exchange.wire.reset()
    elif then == "hang":
        await exchange.wait_until_abandoned()


def answers(raw: bytes, *, then: Then = "keep", before_body: bool = False) -> Behaviour:
    """Read the request, send these bytes, then keep the connection, close it, reset it or hang."""

    async def behave(exchange: Exchange) -> None:
        if not before_body:
            await exchange.read_body()
        await exchange.wire.send(raw)
        await _finish(exchange, then)

    return behave


def ends(then: Then) -> Behaviour:
    """Read the request and end without a word."""
    return answers(b"", then=then)


def ends_before_body(then: Then) -> Behaviour:
    """End without a word as soon as the head is there."""
    return answers(b"", then=then, before_body=True)


def drips(raw: bytes, *, every: float, then: Then = "keep", size: int = 1) -> Behaviour:
    """Send ``size`` bytes at a time with a pause of ``every`` seconds between them."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        for at in range(0, len(raw), size):
            if not await exchange.wire.send(raw[at : at + size]):
                exchange.request.is_abandoned = True
                exchange.wire.close()
                return
            await asyncio.sleep(every)
        await _finish(exchange, then)

    return behave


def floods(piece: bytes, *, first: bytes = b"", most: int = 100_000) -> Behaviour:
    """Send ``first``, then ``piece`` again and again until the gateway leaves or ``most`` were sent."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        is_there = await exchange.wire.send(first)
        for _ in range(most):
            if not is_there:
                break
            is_there = await exchange.wire.send(piece)
        exchange.request.is_abandoned = not is_there
        exchange.wire.close()

    return behave


def sends_pieces(*pieces: bytes, pause: float = 0.02, then: Then = "keep") -> Behaviour:
    """Send each piece in a segment of its own."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        for piece in pieces:
            await exchange.wire.send(piece)
            await asyncio.sleep(pause)
        await _finish(exchange, then)

    return behave
