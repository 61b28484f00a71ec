"""Decisions sent to a receiver that checks every signature by itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import web

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.webhook import Webhook
from gateway.core.clock import ManualClock
from gateway.scaling.decision import Decision
from gateway.signals.reading import Replicas
from tests.support.decisions import Lines, decision, kept_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

KEY = b"a key of sufficient length"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = 1_700_000_000


class Receiver:
    """Answers from a script, 204 after it; ``seen`` are the requests whose signature is right."""

    def __init__(self) -> None:
        self.script: list[Callable[[], Any]] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.forged = 0
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        name, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        wanted = hmac.new(KEY, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
        if request.headers["webhook-signature"] != "v1," + base64.b64encode(wanted).decode() or int(stamp) != NOW:
            self.forged += 1
        self.seen.append((name, json.loads(body)))
        answer = self.script.pop(0)() if self.script else web.Response(status=204)
        if asyncio.iscoroutine(answer):
            answer = await answer
        assert isinstance(answer, web.StreamResponse)
        return answer


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/decisions", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/decisions"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def hook(url: str, folder: Path, **options: Any) -> AsyncIterator[tuple[Webhook, Lines]]:
    secret = folder / "secret"
    if not secret.exists():
        secret.write_text(SECRET + "\n")
    log, lines = kept_log()
    webhook = Webhook(url, secret, clock=ManualClock(50.0, NOW + 0.25), rng=Random(7), log=log, **options)
    webhook.start()
    try:
        yield webhook, lines
    finally:
        await webhook.stop()


async def test_a_decision_arrives_as_it_is_and_signed(tmp_path: Path) -> None:
    """The body is the ledger's decision, the signature is right, 2xx means carried out."""
    async with receiving() as receiver, hook(receiver.url, tmp_path) as (webhook, _):
        sent = decision(2, 5)
        assert webhook.view.at is None
        await webhook.apply(sent)
        ((name, body),) = receiver.seen
        assert (body["from"], body["to"], body["target"], body["reason"]) == (2, 5, "app", "demand")
        assert name == webhook.message_id(sent)
        assert receiver.forged == 0
        assert webhook.view.replicas == Replicas(ready=5, desired=5)


async def test_an_answer_is_the_view(tmp_path: Path) -> None:
    """Whoever carries it out says how many are ready and how many are on their way."""
    async with receiving() as receiver, hook(receiver.url, tmp_path) as (webhook, _):
        receiver.script = [lambda: web.json_response({"replicas": {"ready": 2, "warming": 3}, "more": 1}, status=202)]
        await webhook.apply(decision(2, 5))
        assert webhook.view.replicas == Replicas(ready=2, warming=3, desired=5)
        assert webhook.view.at == 50.0


@pytest.mark.parametrize("body", ["", "done", "[]", '{"replicas": {"ready": -1}}', '{"replicas": {', '{"replicas": 4}'])
async def test_any_other_answer_is_ignored(tmp_path: Path, body: str) -> None:
    """It was carried out all the same."""
    async with receiving() as receiver, hook(receiver.url, tmp_path) as (webhook, lines):
        receiver.script = [lambda: web.Response(text=body)]
        await webhook.apply(decision(2, 5))
        assert webhook.view.replicas == Replicas(ready=5, desired=5)
        assert bool(lines.events("webhook answer ignored")) == body.startswith("{")


async def test_a_repeat_has_the_same_id(tmp_path: Path) -> None:
    """500, 503 with Retry-After, 429: sent again with one id, so a receiver can tell; the next decision has another."""
    async with receiving() as receiver, hook(receiver.url, tmp_path) as (webhook, _):
        receiver.script = [
            lambda: web.Response(status=500),
            lambda: web.Response(status=429, headers={"Retry-After": "0"}),
            lambda: web.Response(status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        ]
        await webhook.apply(decision(2, 5))
        await webhook.apply(decision(5, 6, serial=2))
        names = [name for name, _ in receiver.seen]
        assert len(names) == 5
        assert len(set(names[:4])) == 1
        assert names[4] != names[0]
        assert receiver.forged == 0


async def test_two_runs_do_not_share_ids(tmp_path: Path) -> None:
    """Decisions count from 1 after each start, and receivers remember longer than that."""
    log, _ = kept_log()
    one, other = (
        Webhook("http://x/", tmp_path, clock=ManualClock(), rng=Random(seed), log=log).message_id(decision(1, 2))
        for seed in (1, 2)
    )
    assert one != other
    assert "." not in one


async def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    """A receiver that wants more time than there is has no second attempt."""
    async with receiving() as receiver, hook(receiver.url, tmp_path, timeout=0.5) as (webhook, _):
        receiver.script = [lambda: web.Response(status=503, headers={"Retry-After": "60"})]
        with pytest.raises(ActuatorFailed, match="answered 503; given up") as failed:
            await webhook.apply(decision(2, 5))
        assert failed.value.reason == "unavailable"
        assert len(receiver.seen) == 1
        assert "503" in webhook.view.problem
        assert webhook.view.at is None


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 422])
async def test_a_refusal_is_the_last_word(tmp_path: Path, status: int) -> None:
    """What would be refused again is not sent again, and redirects are not followed: they leave the signed place."""
    async with receiving() as receiver, hook(receiver.url, tmp_path) as (webhook, _):
        receiver.script = [lambda: web.Response(status=status, headers={"Location": "/decisions"})]
        with pytest.raises(ActuatorFailed, match=str(status)) as failed:
            await webhook.apply(decision(2, 5))
        assert failed.value.reason == "refused"
        assert len(receiver.seen) == 1
        await webhook.apply(decision(2, 5))
        assert webhook.view.problem == ""


async def test_a_receiver_that_hangs_is_given_up(tmp_path: Path) -> None:
    """Within the time for a decision."""
    async with receiving() as receiver, hook(receiver.url, tmp_path, timeout=0.3) as (webhook, _):
        receiver.script = [lambda: asyncio.sleep(60)] * 9
        with pytest.raises(ActuatorFailed) as failed:
            await webhook.apply(decision(2, 5))
        assert failed.value.reason == "timeout"


async def test_nobody_listens(tmp_path: Path) -> None:
    """Tried again until the time is over, then said."""
    async with receiving() as receiver:
        url = receiver.url
    async with hook(url, tmp_path, timeout=0.4) as (webhook, _):
        with pytest.raises(ActuatorFailed) as failed:
            await webhook.apply(decision(2, 5))
    assert failed.value.reason == "unreachable"


async def test_a_private_ca(tmp_path: Path) -> None:
    """https by the operator's own CA works, and by no other."""
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    async with receiving(tls) as receiver:
        async with hook(receiver.url, tmp_path, ca_file=tmp_path / "ca.crt") as (webhook, _):
            await webhook.apply(decision(2, 5))
        async with hook(receiver.url, tmp_path) as (webhook, _):
            with pytest.raises(ActuatorFailed) as failed:
                await webhook.apply(decision(2, 5))
        assert failed.value.reason == "untrusted"
        assert len(receiver.seen) == 1


@pytest.mark.parametrize("content", [None, "", "whsec_!"])
async def test_without_a_secret_nothing_is_sent(tmp_path: Path, content: str | None) -> None:
    """An unsigned decision is none."""
    async with receiving() as receiver, hook(receiver.url, tmp_path) as (webhook, _):
        secret = tmp_path / "secret"
        secret.unlink() if content is None else secret.write_text(content)
        with pytest.raises(ActuatorFailed) as failed:
            await webhook.apply(decision(2, 5))
        assert failed.value.reason == "no_secret"
        assert receiver.seen == []


async def test_the_body_reads_back_as_the_decision(tmp_path: Path) -> None:
    """Nothing is lost on the way."""
    from msgspec import convert

    async with receiving() as receiver, hook(receiver.url, tmp_path) as (webhook, _):
        sent = decision(2, 5, t=12.5)
        await webhook.apply(sent)
        assert convert(receiver.seen[0][1], Decision) == sent


async def test_a_ca_that_rotates_is_believed_at_the_next_decision(tmp_path: Path) -> None:
    """The file is read for each decision, like the secret: no restart, and the old CA is believed no longer."""
    servers = []
    for name in ("old", "new"):
        ca = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(tls)
        ca.cert_pem.write_to_path(str(tmp_path / name))
        servers.append(tls)
    file = tmp_path / "ca.crt"
    async with receiving(servers[0]) as old, receiving(servers[1]) as new:
        file.write_bytes((tmp_path / "old").read_bytes())
        async with hook(old.url, tmp_path, ca_file=file) as (webhook, _):
            await webhook.apply(decision(2, 5))
            file.write_bytes((tmp_path / "new").read_bytes())
            with pytest.raises(ActuatorFailed) as failed:
                await webhook.apply(decision(5, 6))
            assert failed.value.reason == "untrusted"
            webhook._url = new.url
            await webhook.apply(decision(5, 6))
            file.write_text("")
            with pytest.raises(ActuatorFailed) as failed:
                await webhook.apply(decision(6, 7))
            assert failed.value.reason == "no_ca"
        assert (len(old.seen), len(new.seen)) == (1, 1)
