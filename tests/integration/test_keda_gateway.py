"""A whole gateway that KEDA asks: from the [keda] table to the numbers of its own signals."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from gateway.keda.answers import Wanted, is_active
from gateway.keda.messages import describe
from tests.support.client import connected
from tests.support.running import running, toml, until

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin


def _kinds() -> dict[str, Any]:
    pool = DescriptorPool()
    pool.Add(describe())
    file = pool.FindFileByName(describe().name)
    return {name: GetMessageClass(found) for name, found in file.message_types_by_name.items()}


async def slowly(exchange: Exchange) -> None:
    await exchange.read_body()
    await asyncio.sleep(0.05)
    await exchange.answer(b"ok")


async def test_keda_is_told_what_the_signals_say(origin: Origin) -> None:
    """The sum of demand and backlog of a gateway with load, by gRPC, while the gateway serves; it ends with the rest."""
    origin.default = slowly
    kinds = _kinds()
    async with running(toml(f"http://127.0.0.1:{origin.port}") + '[keda]\nlisten = "127.0.0.1:0"\n') as gateway:
        (event,) = await until(lambda: gateway.events("keda scaler listens"))

        async def client() -> None:
            for _ in range(60):
                await gateway.get()

        async with grpc.aio.insecure_channel(f"127.0.0.1:{event['port']}") as channel:
            ask = channel.unary_unary(
                "/externalscaler.ExternalScaler/GetMetrics",
                request_serializer=lambda each: each.SerializeToString(),
                response_deserializer=kinds["GetMetricsResponse"].FromString,
            )
            reference = kinds["ScaledObjectRef"](name="app", namespace="default", scalerMetadata={"target": "app"})

            async def wanted() -> float:
                try:
                    answer = await ask(kinds["GetMetricsRequest"](scaledObjectRef=reference, metricName=""))
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        return 0.0  # nothing was known yet, which is not zero to KEDA
                    raise
                return float(answer.metricValues[0].metricValueFloat)

            load = asyncio.gather(*(client() for _ in range(4)))
            await until(lambda: _is_above(wanted(), 0.5))
            await load


async def _is_above(value: Any, least: float) -> bool:
    return bool(await value > least)


async def test_an_address_that_is_taken_is_said(origin: Origin) -> None:
    """The gateway does not start without the door that it was told to open."""
    text = toml(f"http://127.0.0.1:{origin.port}") + f'[keda]\nlisten = "127.0.0.1:{origin.port}"\n'
    async with running(text, until_ready=False) as gateway:
        assert await gateway.ended() == 1
        await until(lambda: [line for line in gateway.log if "cannot listen" in line])


async def switch(exchange: Exchange) -> None:
    await exchange.wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n")
    await exchange.wait_until_abandoned()


async def test_open_tunnels_are_activity_and_concurrency(origin: Origin) -> None:
    """Twelve WebSockets that nobody adds to keep the target active, stand in /queue, and ask for no slots."""
    origin.default = switch
    async with running(toml(f"http://127.0.0.1:{origin.port}")) as gateway, AsyncExitStack() as stack:
        for _ in range(12):
            client = await stack.enter_async_context(connected(int(gateway.url.rpartition(":")[2])))
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n")
            assert (await client.answer()).status == 101

        async def signals() -> dict[str, float]:
            page = json.loads((await gateway.ask("/v1/signals/app"))[1])
            return dict(page["signals"])

        async def are_seen() -> bool:
            return (await signals())["streams"] == 12

        await until(are_seen)
        found = await signals()
        assert is_active(Wanted("app", activation=11.0), found)
        assert not is_active(Wanted("app", activation=12.0), found)
        assert found["load_slots"] < 1
        status, text = await gateway.ask("/queue")
        assert (status, json.loads(text)) == (200, {"default/app": {"Concurrency": 12, "RequestCount": 12}})
