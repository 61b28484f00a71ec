"""``gateway simulate`` as people and scripts see it: tables, files, exit codes, and one set of figures in all of them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import gateway

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[upstreams.app]
endpoints = ["http://127.0.0.1:9001"]
limit = { kind = "fixed", initial = 4, per = "endpoint" }
[upstreams.app.scaling]
mode = "shadow"
max = 6
cold_start = "20s"
[routes.all]
upstream = "app"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """An hour of minutes: sixty a second, thrice as many for ten minutes in the middle."""
    path = tmp_path / "hour.csv"
    lines = [f"2024-05-01T12:{minute:02}:00Z,{10800 if 25 <= minute < 35 else 3600}" for minute in range(60)]
    path.write_text("time,count\n" + "\n".join(lines) + "\n")
    return path


class Page(HTMLParser):
    """The rows of the table of measures, as (policy, figures), and everything that a page might load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[tuple[str, list[float]]] = []
        self.drawings: list[str] = []
        self.loaded: list[str] = []
        self._is_in = False
        self._is_name = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loaded += [str(found[name]) for name in ("src", "href", "action") if name in found]
        if tag in {"script", "link", "iframe"}:
            self.loaded.append(tag)
        if tag == "table":
            self._is_in = found.get("class") == "measures"
        elif tag == "svg":
            self.drawings.append(str(found["aria-label"]))
        elif tag == "td" and self._is_in:
            if "data-value" in found:
                self.rows[-1][1].append(float(str(found["data-value"])))
            else:
                self._is_name = True

    def handle_data(self, data: str) -> None:
        if self._is_name:
            self.rows.append((data, []))
            self._is_name = False


COLUMNS = ("violations", "shed", "cost", "replica_hours", "operations", "flips", "peak")


def test_table_page_and_data_say_the_same(file: Path, trace: Path, tmp_path: Path) -> None:
    """Every figure of the page is that of the data; the table shows them rounded; the page loads nothing."""
    html, data = tmp_path / "out.html", tmp_path / "out.json"
    done = gateway("simulate", file, "--trace", trace, "--against", "hpa,static,oracle", "--html", html, "--json", data)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(data.read_text())
    page = Page(html.read_text())
    expected = [(each["policy"], [float(each["measures"][name]) for name in COLUMNS]) for each in found["policies"]]
    assert page.rows == expected
    assert [name for name, _ in expected] == ["ours", "hpa", "static-peak", "static-mean", "oracle"]
    assert page.loaded == []
    assert [title.partition(",")[0] for title in page.drawings] == [
        "arrivals",
        "replicas paid for",
        "longest queue delay",
        "violations",
        "cost so far",
    ]
    for name, figures in expected:
        row = next(line for line in done.stdout.splitlines() if line.startswith(f"│ {name} "))
        assert [cell.strip() for cell in row.split("│")[2:4]] == [f"{figures[0]:.3f}", f"{figures[1]:.3f}"]


def test_the_curves_add_up_to_the_measures(file: Path, trace: Path, tmp_path: Path) -> None:
    """Costs end at the replica hours; violations and arrivals sum up to what the table says; the oracle is cheapest."""
    data = tmp_path / "out.json"
    assert gateway("simulate", file, "--trace", trace, "--against", "hpa,oracle", "--json", data).returncode == 0
    found = json.loads(data.read_text())
    for each in found["policies"]:
        curves, measures = each["curves"], each["measures"]
        assert curves["cost"][-1] == pytest.approx(measures["replica_hours"])
        assert 100 * sum(curves["violations"]) / found["requests"] == pytest.approx(measures["violations"])
        assert sum(curves["arrivals"]) * curves["step"] == pytest.approx(found["requests"], rel=0.02)
        assert measures["peak"] <= 6
        assert measures["cost"] >= 1 - 1e-9 or measures["violations"] > 0.1
    assert found["requests"] == pytest.approx(60 * 3600 + 120 * 600, rel=0.03)
    assert found["site"]["slots"] == 4  # the fixed limit of an endpoint
    assert found["site"]["cold_start"] == 20
    assert any("shadow" in note for note in found["notes"])


def test_one_seed_tells_one_story(file: Path) -> None:
    """The same seed gives the same lines, another one others."""
    first, again, other = (gateway("simulate", file, "--profile", "surge", "--seed", seed).stdout for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_comparison_says_in_words_what_changes(file: Path, trace: Path, tmp_path: Path) -> None:
    """A second file with a higher minimum costs more, and the words say by how much; the page has them too."""
    other, html, data = tmp_path / "other.toml", tmp_path / "out.html", tmp_path / "out.json"
    other.write_text(FILE.replace("max = 6", 'max = 6\nmin = 4\nhold = "15m"'))
    done = gateway("simulate", file, "--compare", other, "--trace", trace, "--json", data, "--html", html)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(data.read_text())
    before, after = (each["measures"]["replica_hours"] for each in found["policies"])
    more = f"B costs {100 * (after / before - 1):.1f} % more"
    assert any(words.startswith(more) for words in found["differences"])
    assert "hold 10m → 15m: scale-in holds 5m longer" in found["differences"]
    assert "min 1 → 4" in found["differences"]
    assert more in done.stdout
    assert more in html.read_text()
    same = gateway("simulate", file, "--compare", file, "--trace", trace)
    assert "B does the same as A" in same.stdout
    assert "no setting that matters here differs" in same.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "trace.csv: is empty"),
        ("what,ever\n1,2\n", "trace.csv:1: expected an access log, a header"),
        ("time,count\n1,2\nx,3\n", 'trace.csv:3: expected a number of seconds or an ISO time; got "x"'),
        ("time,count\n1,2\n2,many\n", 'trace.csv:3: expected a count of at least 0; got "many"'),
        ("time,count\n1,2\n2,-1\n", 'trace.csv:3: expected a count of at least 0; got "-1"'),
        ("time,count\n5,2\n2,1\n", "trace.csv:3: goes back in time"),
        ("time,count\n5,2\n6\n", "trace.csv:3: expected at least 2 columns; got 1"),
        ("time,count\n5,2\n", "trace.csv: has fewer than two periods"),
        ("count\n0\n0\n", "trace.csv: has no request in it"),
        ("time,count\n0,1\n1,1\n9e15,1\n", "is a time wrong in it?"),
        ("time,count\n0,1\n86400,1\n8640000,1\n", "is 101 days long, more than 31"),
    ],
)
def test_a_file_that_is_no_trace_says_its_line(file: Path, tmp_path: Path, text: str, words: str) -> None:
    """One line on standard error, nothing on standard output, and 2."""
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    done = gateway("simulate", file, "--trace", trace)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.startswith("error: trace.csv")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of --trace FILE and --profile NAME is needed"),
        (("--profile", "monday"), "there is no profile"),
        (("--profile", "surge", "--against", "magic"), "there is no policy"),
        (("--profile", "surge", "--upstream", "none"), "there is no upstream"),
        (("--profile", "surge", "--service-time", "0s"), "expected a time above 0"),
        (("--profile", "surge", "--cold-start", "30"), "expected a duration with a unit"),
    ],
)
def test_what_cannot_be_simulated_ends_with_two(file: Path, arguments: tuple[str, ...], words: str) -> None:
    done = gateway("simulate", file, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in " ".join(line.strip("│ ") for line in done.stderr.splitlines())


def test_the_notes_say_what_to_doubt(file: Path, tmp_path: Path) -> None:
    """Too little room, nothing to decide, holes in the file: each is said."""
    trace = tmp_path / "holes.csv"
    trace.write_text("time,count\n" + "".join(f"{60 * minute},60000\n" for minute in range(30) if minute != 7))
    said: Any = gateway("simulate", file, "--trace", trace).stdout
    assert "1 periods of 60 s are not in the file" in said
    assert "max is 6: no policy, the oracle included, can do without" in said
    assert "so no policy has much to decide" in gateway("simulate", file, "--trace", trace, "--peak", "0.1").stdout
