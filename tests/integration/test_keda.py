"""The external scaler as KEDA uses it: a gRPC client made from the .proto file by protoc, over real sockets."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
import trustme
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

import gateway.keda
from gateway.core.clock import ManualClock
from gateway.keda.messages import describe
from gateway.keda.server import KedaFailed, KedaServer
from gateway.keda.settings import KedaSettings, KedaTls
from gateway.keda.source import OLD, Board
from gateway.signals.reading import Replicas
from gateway.signals.signals import Signals
from tests.support.decisions import kept_log
from tests.support.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROTO = Path(gateway.keda.__file__).parent / "externalscaler.proto"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """What protoc makes of the contract."""
    out = tmp_path_factory.mktemp("proto") / "set"
    arguments = ["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={out}", str(PROTO)]
    assert protoc.main(arguments) == 0
    return FileDescriptorSet.FromString(out.read_bytes())


class Client:
    """KEDA's side: messages by protoc, methods by their names."""

    def __init__(self, channel: grpc.aio.Channel, compiled: FileDescriptorSet) -> None:
        self.channel = channel
        pool = DescriptorPool()
        for file in compiled.file:
            pool.Add(file)
        self._messages = {
            name: GetMessageClass(pool.FindMessageTypeByName(f"externalscaler.{name}"))
            for name in pool.FindFileByName("externalscaler.proto").message_types_by_name
        }
        self._service = pool.FindServiceByName("externalscaler.ExternalScaler")

    def reference(self, **metadata: str) -> Any:
        return self._messages["ScaledObjectRef"](name="shop-scaler", namespace="default", scalerMetadata=metadata)

    def call(self, method: str, question: Any) -> Any:
        found = self._service.methods_by_name[method]
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        answer = self._messages[found.output_type.name]
        return kind(
            f"/externalscaler.ExternalScaler/{method}",
            request_serializer=lambda each: each.SerializeToString(),
            response_deserializer=answer.FromString,
        )(question)

    async def active(self, **metadata: str) -> bool:
        answer = await self.call("IsActive", self.reference(**metadata))
        return bool(answer.result)

    async def values(self, name: str = "", **metadata: str) -> dict[str, tuple[int, float]]:
        question = self._messages["GetMetricsRequest"](scaledObjectRef=self.reference(**metadata), metricName=name)
        answer = await self.call("GetMetrics", question)
        return {each.metricName: (each.metricValue, each.metricValueFloat) for each in answer.metricValues}

    async def specs(self, **metadata: str) -> dict[str, tuple[int, float]]:
        return specs(await self.call("GetMetricSpec", self.reference(**metadata)))


def specs(answer: Any) -> dict[str, tuple[int, float]]:
    return {each.metricName: (each.targetSize, each.targetSizeFloat) for each in answer.metricSpecs}


class World:
    """A server, what it is fed by, and a client."""

    def __init__(self, server: KedaServer, board: Board, clock: ManualClock, client: Client) -> None:
        self.server = server
        self.board = board
        self.clock = clock
        self.client = client

    def publish(self, target: str = "shop", *, desired: float = 3.0, **signals: Any) -> None:
        known = {"signal_valid": 1, "slots_per_replica": 8.0, "replicas": Replicas(ready=3, desired=3), **signals}
        flat = Signals(at=self.clock.now(), **known).flat()
        self.board.publish(target, {**flat, "desired_replicas": desired})


@pytest.fixture
async def world(compiled: FileDescriptorSet) -> AsyncIterator[World]:
    async with serving(compiled) as running:
        yield running


@asynccontextmanager
async def serving(compiled: FileDescriptorSet, *targets: str) -> AsyncIterator[World]:
    clock = ManualClock(100.0)
    board = Board(targets or ("shop", "search"), clock)
    log, _ = kept_log()
    server = KedaServer(board, KedaSettings(listen="127.0.0.1:0"), log)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield World(server, board, clock, Client(channel, compiled))
    finally:
        await server.stop()


def test_what_we_describe_is_what_protoc_reads(compiled: FileDescriptorSet) -> None:
    """The .proto file and our description of it are the same contract, to the last number."""
    (file,) = compiled.file
    assert describe() == file


async def test_demand_and_backlog_are_one_sum(world: World) -> None:
    """The default metric: an autoscaler would take the higher of two."""
    world.publish(demand_slots=20.5, backlog_slots=4.25)
    assert await world.client.values(target="shop") == {"wanted_slots": (25, 24.75)}
    assert await world.client.values("wanted_slots", target="shop") == {"wanted_slots": (25, 24.75)}
    found = await world.client.specs(target="shop")
    assert found == {"wanted_slots": (7, pytest.approx(7.2))}


async def test_metrics_by_name(world: World) -> None:
    """Several with commas; a target size of one's own; our own decision with one for each replica."""
    world.publish(demand_slots=20.5, oldest_age_s=1.5, desired=4.0)
    asked = {"target": "shop", "metric": "desired_replicas, oldest_age_s", "targetSize": "0.5"}
    assert await world.client.values(**asked) == {"desired_replicas": (4, 4.0), "oldest_age_s": (2, 1.5)}
    assert await world.client.values("oldest_age_s", **asked) == {"oldest_age_s": (2, 1.5)}
    assert await world.client.specs(target="shop", metric="desired_replicas") == {"desired_replicas": (1, 1.0)}
    assert await world.client.specs(**asked) == {"desired_replicas": (1, 0.5), "oldest_age_s": (1, 0.5)}


async def test_numbers_below_zero_are_zero(world: World) -> None:
    """KEDA takes a float only when it is above 0, and the integer beside it otherwise."""
    world.publish(headroom_rps=-5.0)
    asked = {"target": "shop", "metric": "headroom_rps", "targetSize": "1"}
    assert await world.client.values(**asked) == {"headroom_rps": (0, 0.0)}


async def test_unknown_and_old_never_read_as_zero(world: World) -> None:
    """Nothing known, invalid, grown old: UNAVAILABLE for the metric, and active all the while."""
    for prepare in (
        lambda: None,
        lambda: world.publish(signal_valid=0),
        lambda: (world.publish(), world.clock.advance(OLD + 1)),
    ):
        prepare()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await world.client.values(target="shop")
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await world.client.active(target="shop")
    world.publish()
    assert await world.client.values(target="shop") == {"wanted_slots": (0, 0.0)}
    assert not await world.client.active(target="shop")


async def test_the_slots_of_a_replica_stand_while_signals_are_old(world: World) -> None:
    """What a replica can do is known longer than what is asked of it; before that, a size must be given."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await world.client.specs(target="shop")
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await world.client.specs(target="shop", targetSize="5") == {"wanted_slots": (5, 5.0)}
    world.publish(slots_per_replica=10.0)
    world.clock.advance(OLD + 1)
    assert await world.client.specs(target="shop") == {"wanted_slots": (9, 9.0)}


@pytest.mark.parametrize("signal", ["offered_rps", "inflight", "queued"])
async def test_whatever_is_asked_for_is_activity(world: World, signal: str) -> None:
    """Arrivals, requests in flight, a queue: each of them, above ``activation``."""
    world.publish(**{signal: 0.5})
    assert await world.client.active(target="shop")
    assert not await world.client.active(target="shop", activation="0.5")


@pytest.mark.parametrize(
    ("metadata", "code", "word"),
    [
        ({"target": "shup"}, grpc.StatusCode.NOT_FOUND, "search, shop"),
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "target"),
        ({"target": "shop", "metric": "demand_slot"}, grpc.StatusCode.INVALID_ARGUMENT, "demand_slots"),
        ({"target": "shop", "targetsize": "3"}, grpc.StatusCode.INVALID_ARGUMENT, "targetSize"),
        ({"target": "shop", "targetSize": "0"}, grpc.StatusCode.INVALID_ARGUMENT, "above 0"),
        ({"target": "shop", "targetSize": "nan"}, grpc.StatusCode.INVALID_ARGUMENT, "above 0"),
        ({"target": "shop", "activation": "-1"}, grpc.StatusCode.INVALID_ARGUMENT, "at least 0"),
        ({"target": "shop", "metric": "inflight"}, grpc.StatusCode.INVALID_ARGUMENT, "targetSize"),
    ],
)
async def test_a_mistake_in_a_trigger_is_named(world: World, metadata: Any, code: Any, word: str) -> None:
    """Whose turn it is, and the nearest thing that there is."""
    world.publish()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await world.client.specs(**metadata)
    assert failed.value.code() is code
    assert word in (failed.value.details() or "")


async def test_a_metric_that_the_trigger_does_not_have(world: World) -> None:
    """KEDA asks by name for what it was told of."""
    world.publish()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await world.client.values("demand_slots", target="shop")
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_only_target_needs_no_name(compiled: FileDescriptorSet) -> None:
    """And KEDA's own keys beside it do no harm."""
    async with serving(compiled, "only") as world:
        world.publish("only", demand_slots=3.0)
        asked = {"scalerAddress": "gateway:9091", "metricType": "AverageValue"}
        assert await world.client.values(**asked) == {"wanted_slots": (3, 3.0)}


async def test_activity_is_pushed_at_once_and_on_each_change(world: World) -> None:
    """From zero nobody waits for a poll; ticks that change nothing send nothing."""
    world.publish()
    stream = world.client.call("StreamIsActive", world.client.reference(target="shop"))
    seen = [(await stream.read()).result]
    for signals in ({}, {"queued": 1.0}, {"queued": 2.0}, {"inflight": 1.0}, {}, {"offered_rps": 1.0}):
        await until(lambda: world.board._waiting["shop"]._waiters)
        world.publish(**signals)
        if bool(signals) != seen[-1]:
            seen.append((await stream.read()).result)
    assert seen == [False, True, False, True]
    stream.cancel()


async def test_a_new_size_is_pushed_when_it_moved_by_more_than_a_tenth(world: World) -> None:
    """And whoever asks hears the same as who listens."""
    world.publish(slots_per_replica=10.0)
    stream = world.client.call("StreamMetricSpec", world.client.reference(target="shop"))
    assert specs(await stream.read()) == {"wanted_slots": (9, 9.0)}
    for slots in (10.9, 9.1):
        await until(lambda: world.board._waiting["shop"]._waiters)
        world.publish(slots_per_replica=slots)
        assert await world.client.specs(target="shop") == {"wanted_slots": (9, 9.0)}
    world.publish(slots_per_replica=20.0)
    assert specs(await stream.read()) == {"wanted_slots": (18, 18.0)}
    assert await world.client.specs(target="shop") == {"wanted_slots": (18, 18.0)}
    stream.cancel()


async def test_streams_end_properly_when_the_server_stops(world: World) -> None:
    """KEDA takes a proper end as such and comes back soon; an error would make it wait longer and longer."""
    world.publish()
    streams = [
        world.client.call(method, world.client.reference(target="shop"))
        for method in ("StreamIsActive", "StreamMetricSpec")
    ]
    for stream in streams:
        await stream.read()
    await world.server.stop()
    for stream in streams:
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


async def test_a_hundred_streams(world: World) -> None:
    """All hear of the first request; those whose client left are gone, and the others go on."""
    world.publish()
    streams = [world.client.call("StreamIsActive", world.client.reference(target="shop")) for _ in range(100)]
    assert {(await stream.read()).result for stream in streams} == {False}
    await until(lambda: len(world.board._waiting["shop"]._waiters) == 100)
    world.publish(queued=1.0)
    assert {(await stream.read()).result for stream in streams} == {True}
    for stream in streams[:50]:
        stream.cancel()
    await until(lambda: len(world.board._waiting["shop"]._waiters) == 50)
    world.publish()
    assert {(await stream.read()).result for stream in streams[50:]} == {False}
    for stream in streams[50:]:
        stream.cancel()
    await until(lambda: not world.board._waiting["shop"]._waiters)


async def test_the_bytes_on_the_wire(world: World) -> None:
    """Field numbers and types as in the contract, written out by hand on both sides."""
    world.publish(demand_slots=24.5)
    entry = b"\x0a\x06target\x12\x04shop"  # key = 1, value = 2
    reference = b"\x0a\x01s" + b"\x12\x01n" + b"\x1a" + bytes([len(entry)]) + entry  # 1, 2, 3
    question = b"\x0a" + bytes([len(reference)]) + reference + b"\x12\x0cwanted_slots"  # 1, 2
    call = world.client.channel.unary_unary("/externalscaler.ExternalScaler/GetMetrics")
    value = b"\x0a\x0cwanted_slots" + b"\x10\x19" + b"\x19" + struct.pack("<d", 24.5)  # 1, 2 = 25, 3
    assert await call(question) == b"\x0a" + bytes([len(value)]) + value
    call = world.client.channel.unary_unary("/externalscaler.ExternalScaler/IsActive")
    assert await call(reference) == b""  # false is left out
    world.publish(queued=1.0)
    assert await call(reference) == b"\x08\x01"
    call = world.client.channel.unary_unary("/externalscaler.ExternalScaler/GetMetricSpec")
    spec = b"\x0a\x0cwanted_slots" + b"\x10\x07" + b"\x19" + struct.pack("<d", 0.9 * 8)
    assert await call(reference) == b"\x0a" + bytes([len(spec)]) + spec


async def test_what_is_no_message_ends_one_call_only(world: World) -> None:
    """Garbage is an error of that call; the next is answered."""
    world.publish()
    call = world.client.channel.unary_unary("/externalscaler.ExternalScaler/IsActive")
    with pytest.raises(grpc.aio.AioRpcError):
        await call(b"\xff\xff\xff")
    assert not await world.client.active(target="shop")


async def test_an_address_that_is_taken(world: World) -> None:
    """A second one on the same port is told, instead of sharing it silently."""
    log, _ = kept_log()
    second = KedaServer(world.board, KedaSettings(listen=f"127.0.0.1:{world.server.port}"), log)
    with pytest.raises(KedaFailed, match="is it taken"):
        await second.start()
    await second.stop()


async def test_mutual_tls(compiled: FileDescriptorSet, tmp_path: Path) -> None:
    """KEDA checks us, and we KEDA; a client without a certificate is not served."""
    ca = trustme.CA()
    ours, theirs = ca.issue_cert("gateway.default.svc"), ca.issue_cert("keda")
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "crt"))
    ours.private_key_pem.write_to_path(str(tmp_path / "key"))
    ca.cert_pem.write_to_path(str(tmp_path / "ca"))
    board, (log, _) = Board(("shop",), ManualClock()), kept_log()
    tls = KedaTls(str(tmp_path / "crt"), str(tmp_path / "key"), str(tmp_path / "ca"))
    server = KedaServer(board, KedaSettings(listen="127.0.0.1:0", tls=tls), log)
    await server.start()
    options = (("grpc.ssl_target_name_override", "gateway.default.svc"),)
    pair = (theirs.private_key_pem.bytes(), theirs.cert_chain_pems[0].bytes())
    try:
        for key, chain in (pair, (None, None)):
            known = grpc.ssl_channel_credentials(ca.cert_pem.bytes(), key, chain)
            async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", known, options) as channel:
                client = Client(channel, compiled)
                if key is not None:
                    assert await client.active()
                else:
                    with pytest.raises(grpc.aio.AioRpcError) as failed:
                        await client.active()
                    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop()


async def test_files_that_are_not_there(tmp_path: Path) -> None:
    """Said by name before anything listens."""
    tls = KedaTls(str(tmp_path / "absent.crt"), str(tmp_path / "absent.key"))
    log, _ = kept_log()
    server = KedaServer(Board(("shop",), ManualClock()), KedaSettings(listen="127.0.0.1:0", tls=tls), log)
    with pytest.raises(KedaFailed, match=r"absent.key cannot be read"):
        await server.start()
    await server.stop()


async def test_processes_can_be_started_beside_it(world: World) -> None:
    """The control process also starts workers and pools; gRPC's threads must not stand in the way."""
    world.publish()
    assert not await world.client.active(target="shop")
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
    assert not await world.client.active(target="shop")
