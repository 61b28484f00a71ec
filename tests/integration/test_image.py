"""The steps of the Dockerfile, done in a folder of the test's as a builder does them, make a gateway that works.

COPY keeps the times of files, as builders do; RUN is done by a shell. Nothing comes from a registry: the environment that
the steps make sees the packages of the one that the tests run in.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.support.running import is_alive, pool_toml, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OLD = 1_600_000_000
HOME = "/opt/gateway"


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The words and arguments of a Dockerfile, lines that go on put together."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield word, rest.strip()


class Builder:
    """Does the instructions of a build in ``folder``, which stands for the image's root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._work = folder
        self.stages = 0
        self.entry: list[str] = []
        self.healthcheck = ""

    def place(self, path: str) -> Path:
        """Where a path of the image is."""
        return self._folder / path.lstrip("/") if path.startswith("/") else self._work / path

    def do(self, word: str, rest: str) -> None:
        """Do one instruction; those that a file system and a shell cannot do are left out."""
        if word == "FROM":
            self.stages += 1
        elif word == "WORKDIR":
            self._work = self.place(rest)
            self._work.mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                self._copy(ROOT / source, self.place(target))
        elif word == "RUN" and self.stages == 1:
            self._run(rest)
        elif word == "ENTRYPOINT":
            self.entry = [each.strip('" ') for each in rest.strip("[]").split(",")]

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            for each in target.rglob("*"):
                os.utime(each, (OLD, OLD))  # files that are older than whatever is built here
        else:
            copied = shutil.copy2(source, target)
            os.utime(copied, (OLD, OLD))

    def _run(self, line: str) -> None:
        line = line.replace(HOME, str(self._folder) + HOME)
        line = line.replace("python -m venv", f"{shlex.quote(sys.executable)} -m venv")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))},
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # which is how pip is told that there is none
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        ran = subprocess.run(
            ["sh", "-ec", line], cwd=self._work, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        for site in (self._folder / HOME.lstrip("/")).glob("lib/python*/site-packages"):
            (site / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
            for bundled in (*site.glob("setuptools*"), *site.glob("pkg_resources")):  # by Python 3.11, and too old
                shutil.rmtree(bundled)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """What the steps of the Dockerfile have made."""
    builder = Builder(tmp_path_factory.mktemp("image"))
    for word, rest in instructions((ROOT / "Dockerfile").read_text()):
        builder.do(word, rest)
    return builder


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    """Each source of a COPY is let through by .dockerignore, and nothing of an earlier build is."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    steps = list(instructions((ROOT / "Dockerfile").read_text()))
    sources = {each for word, rest in steps if word == "COPY" and "--from" not in rest for each in rest.split()[:-1]}
    assert sources == set(allowed)
    assert not [each for each in ("build", "gateway.egg-info", ".venv") if any(fnmatch(each, one) for one in allowed)]


def test_every_module_of_the_source_is_in_the_image(image: Builder) -> None:
    """File by file with the same bytes; an empty ``__init__.py`` was the fault that kept it from starting."""
    (installed,) = image.place(HOME).glob("lib/python*/site-packages/gateway")
    for source in (ROOT / "gateway").rglob("*.py"):
        found = installed / source.relative_to(ROOT / "gateway")
        assert found.read_bytes() == source.read_bytes(), found


async def test_the_image_starts_serves_and_drains(image: Builder, tmp_path: Path) -> None:
    """Its entry point runs the sample service as a pool, and SIGTERM ends both with status 0 after what is in flight."""
    assert image.entry == ["gateway"]
    program = image.place(f"{HOME}/bin/gateway")
    sample = ["python", "-m", "gateway.sample", "--port", "{port}", "--service-time", "500ms"]
    (tmp_path / "gateway.toml").write_text(pool_toml(sample))
    process = await asyncio.create_subprocess_exec(
        str(program), "run", str(tmp_path / "gateway.toml"),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("proxy"), (await process.communicate())[1].decode()
        url = line.split()[1]
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                assert response.status == 200
            asked = asyncio.create_task(_ask(session, url))
            await asyncio.sleep(0.1)
            process.terminate()
            assert await asked == 200
        _, log = await process.communicate()
        assert process.returncode == 0
        assert log.splitlines()[-1].endswith(b'"event":"stopped"}')
        await until(lambda: not is_alive(process.pid))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _ask(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        await response.read()
        return response.status


def test_what_an_earlier_build_left_is_not_packed(tmp_path: Path) -> None:
    """A file in build/lib that is newer than the source does not win, whoever installs from that folder."""
    builder = Builder(tmp_path)
    builder.do("COPY", "pyproject.toml README.md ./")
    builder.do("COPY", "gateway gateway")
    stale = tmp_path / "build" / "lib" / "gateway" / "__init__.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    command = [
        *[
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-index",
            "--no-build-isolation",
            "--no-deps",
            "--wheel-dir",
            "wheels",
            ".",
        ]
    ]
    subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, check=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as packed:
        assert packed.read("gateway/__init__.py") == (ROOT / "gateway" / "__init__.py").read_bytes()
