"""The projects of three tutorials, run behind the gateway from five lines, without a second try."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tests.support.running import HEAD, RunningGateway, activated, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLES: Final = Path(__file__).parents[2] / "examples"


class Example(NamedTuple):
    """A folder, how its tutorial starts a server on a port, the page that the tutorial makes and what it says."""

    folder: str
    server: tuple[str, ...]
    path: str
    text: str


FASTAPI = Example("fastapi", ("uvicorn", "main:app", "--port", "{port}"), "/", '{"message":"Hello World"}')
FLASK = Example("flask", ("flask", "--app", "hello", "run", "--port", "{port}"), "/", "<p>Hello, World!</p>")
DJANGO = Example(
    "django",
    ("python", "manage.py", "runserver", "{port}", "--noreload"),
    "/polls/",
    "Hello, world. You're at the polls index.",
)
ALL: Final = (FASTAPI, FLASK, DJANGO)
IDS: Final = [one.folder for one in ALL]


def _copy(example: Example, folder: Path) -> Path:
    return shutil.copytree(EXAMPLES / example.folder, folder / example.folder)


def _head() -> str:
    """Other addresses than the defaults, which somebody else may have."""
    return HEAD.format(workers=1, drain="5s")


async def _until_ready(gateway: RunningGateway) -> None:
    async def is_ready() -> bool:
        return (await gateway.ask("/readyz"))[0] == 200

    await until(is_ready)


@pytest.mark.parametrize("example", ALL, ids=IDS)
async def test_a_tutorials_project_runs_as_a_pool(example: Example, tmp_path: Path) -> None:
    """The gateway starts it, is ready when it is, and passes its page on; nothing had to be said about readiness."""
    folder = _copy(example, tmp_path)
    config = (folder / "gateway.toml").read_text()
    async with running(_head() + config, cwd=folder) as gateway:
        await _until_ready(gateway)
        for _ in range(3):
            assert await gateway.get(example.path) == (200, example.text)
        assert (await gateway.get("/no-such-page"))[0] == 404
        mishaps = ("pool process ended", "pool process answers, and is not ready", "pool process restarts")
        assert [event for name in mishaps for event in gateway.events(name)] == []


@pytest.mark.parametrize("example", ALL, ids=IDS)
async def test_a_tutorials_project_runs_as_an_endpoint(example: Example, tmp_path: Path) -> None:
    """Beside the server that the tutorial starts, under the name by which it speaks of it."""
    folder = _copy(example, tmp_path)
    async with _served(example, folder) as port:
        config = (folder / "endpoints.toml").read_text()
        (url,) = tomllib.loads(config)["upstreams"]["app"]["endpoints"]
        config = config.replace(url, f"http://localhost:{port}")
        async with running(_head() + config) as gateway:
            await _until_ready(gateway)
            for _ in range(3):
                assert await gateway.get(example.path) == (200, example.text)


async def test_django_without_debug_is_ready_and_says_itself_that_it_does_not_know_the_name(tmp_path: Path) -> None:
    """DEBUG = False and the ALLOWED_HOSTS of startproject: the process is ready, and its own 400 reaches the client."""
    folder = _copy(DJANGO, tmp_path)
    settings = folder / "mysite" / "settings.py"
    settings.write_text(settings.read_text().replace("DEBUG = True", "DEBUG = False"))
    async with running(_head() + (folder / "gateway.toml").read_text(), cwd=folder) as gateway:
        await _until_ready(gateway)
        code, text = await gateway.get("/polls/")
        assert (code, "Bad Request" in text, "reason" in text) == (400, True, False)


@pytest.mark.parametrize("example", ALL, ids=IDS)
@pytest.mark.parametrize("name", ["gateway.toml", "endpoints.toml"])
def test_five_lines_are_enough(example: Example, name: str) -> None:
    """Of TOML; and three for people."""
    assert len((EXAMPLES / example.folder / name).read_text().splitlines()) == 5
    assert len((EXAMPLES / example.folder / "README.md").read_text().splitlines()) == 3


@asynccontextmanager
async def _served(example: Example, folder: Path) -> AsyncIterator[int]:
    """The tutorial's own server, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [word.format(port=port) for word in example.server]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=activated(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: process.returncode is not None or _listens(port))
        assert process.returncode is None
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # or it warns when it is collected after the loop


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
