"""The same overload twice: gunicorn alone, and with the gateway before it.

    python -m benchmarks.demo [--plot docs/demo.svg]

A page of 50 ms on gunicorn with eight threads: 160 requests a second. Half of that, then three times that for ten
seconds, then half again. A client waits for a second. Printed: answers in time, by second, and what failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.generator import generating
from benchmarks.overload_figures import Window, count, timeline
from benchmarks.overload_load import Clients, Crowd, Phase, Seen
from benchmarks.overload_plot import draw
from benchmarks.overload_scenarios import Scenario
from benchmarks.overload_trial import Trial
from benchmarks.peers import OURS, PEERS
from benchmarks.processes import LOAD_CORE, ORIGIN_CORE, free_port, running
from benchmarks.rounds import scratch

_PHASES = (Phase(5, 80), Phase(10, 480), Phase(10, 80))
_CLIENTS = Clients(_PHASES, (Crowd(path="/page"),), patience=1.0)
_SECONDS = sum(phase.seconds for phase in _PHASES)
_AFTER = 17.0
"""Two seconds after the overload."""
_ALONE = "gunicorn alone"
_BEHIND = "behind the gateway"
_APP = """
import time

def app(environ, start_response):
    time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\\n"]
"""


def _trial(directory: Path, *, is_behind: bool) -> Trial:
    result = directory / f"seen-{free_port()}"
    port = free_port()
    (directory / "page.py").write_text(_APP)
    gunicorn = shutil.which("gunicorn", path=str(Path(sys.prefix) / "bin")) or "gunicorn"
    command = [gunicorn, "--chdir", str(directory), "--bind", f"127.0.0.1:{port}", "--threads", "8", "page:app"]
    with ExitStack() as stack:
        load = stack.enter_context(generating("benchmarks.overload_load", _CLIENTS, result, cores=str(LOAD_CORE)))
        stack.enter_context(
            running(command, cores=str(ORIGIN_CORE), port=port, log=result.with_suffix(".log"), path="/page")
        )
        load.expect("ready")
        if is_behind:
            port = stack.enter_context(PEERS[OURS].start(directory, port, ready="/page")).port
        load.begin(port)
        load.expect("done")
    seen = msgspec.json.decode(result.read_bytes(), type=Seen)
    return Trial(_BEHIND if is_behind else _ALONE, 1, seen, [], {})


def main() -> None:
    """Run both, print, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", default="", metavar="FILE", help="draw both over time into this file, as SVG")
    arguments = parser.parse_args()
    with scratch("demo-") as directory:
        trials = [_trial(directory, is_behind=is_behind) for is_behind in (False, True)]
    for trial in trials:
        whole = count(trial.seen, Window(0.0, _SECONDS))
        after = count(trial.seen, Window(_AFTER, _SECONDS))
        course = " ".join(f"{each.goodput:.0f}" for each in timeline(trial.seen, 1.0, _SECONDS))
        print(
            f"{trial.peer}: {whole.good} of {whole.offered} answered in time; "
            f"{after.goodput:.0f}/s of 80/s after the overload"
        )
        print(f"  each second: {course}")
    if arguments.plot:
        scenario = Scenario(
            "demo", "three times what gunicorn can do, for ten seconds", _CLIENTS, Window(5.0, 15.0), ()
        )
        Path(arguments.plot).write_text(draw([(scenario, trials)], (_BEHIND, _ALONE)))


if __name__ == "__main__":
    main()
