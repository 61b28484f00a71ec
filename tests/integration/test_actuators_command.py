"""Decisions carried out by a program."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.actuators.actuator import ActuatorFailed
from gateway.actuators.choice import make_actuator
from gateway.actuators.command import Command
from gateway.actuators.kubernetes.actuator import KubernetesActuator
from gateway.actuators.publish import Publish
from gateway.actuators.run import run
from gateway.actuators.webhook import Webhook
from gateway.core.clock import SystemClock
from gateway.core.units import Seconds
from gateway.scaling.settings import ActuatorSettings
from gateway.signals.reading import Replicas
from tests.support.decisions import Lines, decision, kept_log
from tests.support.running import is_alive, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code, *arguments)


@asynccontextmanager
async def commanding(
    command: tuple[str, ...], count: tuple[str, ...] = (), **options: Any
) -> AsyncIterator[tuple[Command, Lines]]:
    log, lines = kept_log()
    actuator = Command(command, count, target="app", clock=SystemClock(), log=log, **options)
    actuator.start()
    try:
        yield actuator, lines
    finally:
        await actuator.stop()


async def test_places_are_filled_and_nothing_becomes_a_command(tmp_path: Path) -> None:
    """Inside of arguments too; other braces, quotes and semicolons stay what they are."""
    code = "import sys; open(sys.argv[1], 'w').write('|'.join(sys.argv[2:])); print('done')"
    file = str(tmp_path / "said")
    command = python(code, file, "{from}->{to}", "{target}/{id}", "{reason}", '{"n": {to}}', "$(id); {other} {{to}}")
    async with commanding(command) as (actuator, lines):
        await actuator.apply(decision(2, 5))
    assert (tmp_path / "said").read_text() == '2->5|app/app-1|demand|{"n": 5}|$(id); {other} {5}'
    assert [line["line"] for line in lines.events("command output")] == ["done"]


async def test_without_a_count_what_was_carried_out_stands() -> None:
    """And before the first decision nothing is known."""
    async with commanding(python("", "{to}")) as (actuator, _):
        assert actuator.view.at is None
        await actuator.apply(decision(2, 5))
        assert actuator.view.replicas == Replicas(ready=5, desired=5)
        assert actuator.view.at is not None


async def test_a_count_is_the_view(tmp_path: Path) -> None:
    """What the count says goes before what we believe, at once after a decision and again and again."""
    file = tmp_path / "count"
    file.write_text("3\n")
    count = python("import sys; print(open(sys.argv[1]).read())", str(file))
    async with commanding(python("", "{to}"), count, look=0.05) as (actuator, _):
        await until(lambda: actuator.view.replicas == Replicas(ready=3, desired=3))
        await actuator.apply(decision(3, 5))
        assert actuator.view.replicas == Replicas(ready=3, desired=3)
        assert actuator.view.cold_starts == ()
        file.write_text("6")
        await until(lambda: actuator.view.replicas == Replicas(ready=6, desired=6))
        first, second = actuator.view.cold_starts
        assert first == second > 0


async def test_the_time_that_a_count_takes_is_no_age(tmp_path: Path) -> None:
    """A slow count says how slow it is, so that its age beyond that is what counts; the next begins with it in mind."""
    file = tmp_path / "count"
    file.write_text("3\n")
    count = python("import sys, time; time.sleep(0.2); print(open(sys.argv[1]).read())", str(file))
    async with commanding(python("", "{to}"), count, look=0.05) as (actuator, _):
        await until(lambda: actuator.view.at)
        assert actuator.view.slack >= 0.2


@pytest.mark.parametrize("said", ["", "many", "-1", "1 2", "3\\n4", "1e3", "99999999999999999999"])
async def test_a_count_that_is_none_is_a_problem(said: str) -> None:
    """Nothing reads as zero: the view is unknown."""
    async with commanding(python("", "{to}"), python(f"print('{said}')")) as (actuator, lines):
        await until(lambda: "one whole number" in actuator.view.problem)
        assert actuator.view.at is None
        assert lines.events("replicas cannot be counted")


async def test_a_count_that_fails_leaves_the_view_behind(tmp_path: Path) -> None:
    """Its moment stays; when it works again, all is well."""
    file = tmp_path / "count"
    file.write_text("3")
    count = python("import sys; print(open(sys.argv[1]).read())", str(file))
    async with commanding(python("", "{to}"), count, look=0.05) as (actuator, _):
        await until(lambda: actuator.view.at)
        file.unlink()
        await until(lambda: "exit_status" in actuator.view.problem)
        before = actuator.view.at
        assert "FileNotFoundError" in actuator.view.problem
        file.write_text("4")
        await until(lambda: actuator.view.problem == "")
        assert actuator.view.at is not None
        assert before is not None
        assert actuator.view.at > before


async def test_a_failure_says_its_status_and_last_words() -> None:
    """And nothing is believed of it."""
    async with commanding(python("import sys; print('out'); sys.exit('quota is used up')", "{to}")) as (
        actuator,
        lines,
    ):
        with pytest.raises(ActuatorFailed, match="ended with 1: quota is used up") as failed:
            await actuator.apply(decision(2, 5))
        assert failed.value.reason == "exit_status"
        assert actuator.view.at is None
        assert [line["line"] for line in lines.events("command output")] == ["out", "quota is used up"]


@pytest.mark.parametrize("program", ["/no/such/program", "/etc", "no\0name"])
async def test_what_cannot_start_says_so(program: str) -> None:
    """A missing file, a folder, a name that is none."""
    async with commanding((program, "{to}")) as (actuator, _):
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.apply(decision(2, 5))
        assert failed.value.reason == "cannot_start"


async def test_what_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    """The whole session, SIGTERM ignored or not."""
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: open(sys.argv[1], 'w').write(f'{os.getpid()} {child}')\n"
        "time.sleep(600)\n"
    )
    file = tmp_path / "pids"
    log_free = asyncio.create_task(run(python(code, str(file)), timeout=2.0))
    await until(lambda: file.exists() and len(file.read_text().split()) == 2)
    with pytest.raises(ActuatorFailed, match="was killed") as failed:
        await log_free
    assert failed.value.reason == "timeout"
    pids = [int(each) for each in file.read_text().split()]
    await until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("begin", ["os.setpgid(0, 0)", "os.setsid()"])
async def test_children_in_groups_of_their_own_are_killed_too(tmp_path: Path, begin: str) -> None:
    """A process group, as job control gives it, and a session of its own save nobody; nor does a parent that has ended."""
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        f"    {begin}\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        open(sys.argv[1] + '.part', 'w').write(f'{os.getpid()} {child}')\n"
        "        os.rename(sys.argv[1] + '.part', sys.argv[1])\n"
        "time.sleep(600)\n"
    )
    file = tmp_path / "pids"
    running = asyncio.create_task(run(python(code, str(file)), timeout=2.0))
    await until(file.exists)
    with pytest.raises(ActuatorFailed):
        await running
    pids = [int(each) for each in file.read_text().split()]
    await until(lambda: not any(map(is_alive, pids)))


async def test_what_a_command_wrote_before_its_time_was_over_is_kept() -> None:
    """Without it nobody knows where it stands still; a line without an end counts."""
    code = "import sys, time; print('pulling', flush=True); sys.stderr.write('waits for a lock'); time.sleep(600)"
    async with commanding(python(code, "{to}"), timeout=2.0) as (actuator, lines):
        with pytest.raises(ActuatorFailed, match="its last line was: waits for a lock") as failed:
            await actuator.apply(decision(2, 5))
        assert failed.value.reason == "timeout"
        assert [line["line"] for line in lines.events("command output")] == ["pulling", "waits for a lock"]


async def test_what_nobody_waits_for_is_killed(tmp_path: Path) -> None:
    """A gateway that ends leaves no half of a command behind."""
    file = tmp_path / "pid"
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    running = asyncio.create_task(run(python(code, str(file)), timeout=60.0))
    await until(lambda: file.exists() and file.read_text())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not is_alive(int(file.read_text())))


async def test_what_goes_on_in_the_background_is_not_waited_for() -> None:
    """A program that starts a server and ends has ended."""
    code = "import os, time\nif os.fork() == 0:\n    time.sleep(3)\nelse:\n    print('started')"
    ran = await run(python(code), timeout=30.0)
    assert (ran.status, ran.output.lines, ran.output.ended.is_set()) == (0, ["started"], False)


async def test_a_flood_of_output_is_bounded() -> None:
    """200 lines are kept of both pipes together, each of at most 4 KiB; the rest is counted, and the last word is known."""
    code = "import sys\nfor n in range(1000): print(n)\nprint('x' * 100000)\nsys.stderr.buffer.write(b'\\xff\\n')"
    ran = await run(python(code), timeout=30.0)
    assert ran.output.lines == [str(n) for n in range(200 - len(ran.errors.lines))]
    assert len(ran.output.lines) + len(ran.errors.lines) == 200
    assert ran.output.dropped + ran.errors.dropped == 800 + 25 + 1
    assert ran.last == "\\xff"


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (ActuatorSettings(), Publish),
        (ActuatorSettings(kind="kubernetes", deployment="shop"), KubernetesActuator),
        (ActuatorSettings(kind="kubernetes", deployment="shop", kubeconfig="/none"), KubernetesActuator),
        (ActuatorSettings(kind="webhook", url="http://127.0.0.1:1/", secret_file="/none"), Webhook),
        (ActuatorSettings(kind="exec", command=("true", "{to}")), Command),
    ],
)
async def test_each_kind_is_made_and_fails_in_words(settings: ActuatorSettings, kind: type) -> None:
    """What is missing in the world is a failure of the decision and never of the start."""
    log, _ = kept_log()
    actuator = make_actuator(settings, "app", clock=SystemClock(), rng=Random(1), log=log)
    assert type(actuator) is kind
    actuator.start()
    try:
        if kind in {KubernetesActuator, Webhook}:
            with pytest.raises(ActuatorFailed) as failed:
                await actuator.apply(decision(1, 2))
            assert failed.value.reason in {"no_credentials", "no_secret"}
        else:
            await actuator.apply(decision(1, 2))
            assert actuator.view.replicas.desired == 2
    finally:
        await actuator.stop()


def test_a_pool_is_made_by_its_owner() -> None:
    """Nobody else can resize it."""
    log, _ = kept_log()
    settings = ActuatorSettings(kind="pool", timeout=Seconds(5))
    with pytest.raises(ValueError, match="made by whoever owns"):
        make_actuator(settings, "app", clock=SystemClock(), rng=Random(1), log=log)
