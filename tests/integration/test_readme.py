"""What the README shows works as it stands there."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.support.running import RunningGateway, running, until

README = Path(__file__).parents[2] / "README.md"
DOORS = '[gateway]\nlisten = ["127.0.0.1:0"]\n[admin]\nlisten = "127.0.0.1:0"\n'


def _block(language: str, first_line: str) -> str:
    for block in re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), re.DOTALL):
        if block.startswith(first_line):
            return str(block)
    raise AssertionError(f"the README has no block that begins with {first_line!r}")


async def _crowd(gateway: RunningGateway, statuses: list[int]) -> None:
    """Ninety requests a second, more than one process can do."""

    async def ask() -> None:
        statuses.append((await gateway.get("/work"))[0])

    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(ask())
            await asyncio.sleep(1 / 90)


async def test_the_service_that_scales_itself(tmp_path: Path) -> None:
    """Its file and its program as printed: under load it grows beyond one process, and all refusals have a reason."""
    app = tmp_path / "myapp.py"
    app.write_text(_block("python", "# myapp.py"))
    config = DOORS + _block("toml", "# gateway.toml").replace('"myapp.py"', json.dumps(str(app)))
    async with running(config) as gateway:
        await until(lambda: _answers(gateway))
        statuses: list[int] = []
        crowd = asyncio.create_task(_crowd(gateway, statuses))
        try:
            await until(lambda: _has_grown(gateway))
        finally:
            crowd.cancel()
            await asyncio.wait({crowd})
        assert set(statuses) <= {200, 503}
        decisions = json.loads((await gateway.ask("/v1/decisions"))[1])
        assert all(refusal["reason"] for refusal in decisions["decisions"])
        assert decisions["scaling"][-1]["decision"]["from"] == 1


async def _answers(gateway: RunningGateway) -> bool:
    return (await gateway.get("/hello")) == (200, '{"path": "/hello"}')


async def _has_grown(gateway: RunningGateway) -> bool:
    signals = json.loads((await gateway.ask("/v1/signals/app"))[1])["signals"]
    return bool(signals["replicas_ready"] > 1)


def test_every_file_that_a_page_names_is_there(subtests: pytest.Subtests) -> None:
    """No link and no path leads nowhere."""
    root = README.parent
    for page in (*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("examples/*/*.md"), root / "tests/README.md"):
        text = page.read_text("utf-8")
        links = {page.parent / name for name in re.findall(r"\]\(([A-Za-z.][^):#]*)(?:#[^)]*)?\)", text)}
        with subtests.test(page=page.name):
            missing = {path for path in links if not path.exists()}
            missing |= {root / name for name in re.findall(r"config/[a-z]+\.toml", text) if not (root / name).exists()}
            assert not missing


@pytest.mark.parametrize("folder", ["integration", "hostile", "sim"])
def test_the_list_of_tests_has_every_file_with_its_first_line(folder: str) -> None:
    """tests/README.md says which file holds which behaviour."""
    listed = (README.parent / "tests" / "README.md").read_text("utf-8")
    for path in (README.parent / "tests" / folder).glob("test_*.py"):
        claim = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
        assert f"| `{path.name}` | {claim} |" in listed
