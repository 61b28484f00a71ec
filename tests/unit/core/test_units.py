"""Durations and sizes are read with their unit and print what they read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.units import AutoSeconds, Seconds, Size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1.5s", 1.5), ("5m", 300), ("1h", 3600), ("2d", 172800), (" 3 s ", 3), ("0s", 0)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Every unit is understood, with or without a space."""
    assert Seconds.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "-1s",
        "1 day",
        "1S",
        "1e3s",
        "1.s",
        "\u0661s",
        "1s2",
        "inf",
        "1_0s",
    ],
)
def test_other_durations_are_refused(text: str) -> None:
    """A number without a unit, a sign and other spellings are errors."""
    with pytest.raises(ValueError, match="duration"):
        Seconds.parse(text)


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("64KiB", 65536), ("1.5MiB", 1572864), ("10MB", 10**7), ("1GiB", 2**30)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    """Powers of 1000 and of 1024 are told apart."""
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "5", "5K", "5kb", "5kib", "-5B", "5 bytes"])
def test_other_sizes_are_refused(text: str) -> None:
    """A number without a unit and guesses at units are errors."""
    with pytest.raises(ValueError, match="size"):
        Size.parse(text)


@given(st.integers(0, 2**50).map(Size))
def test_a_size_prints_what_it_reads(size: Size) -> None:
    """Printing and reading again loses nothing."""
    assert Size.parse(str(size)) == size


@given(st.one_of(st.integers(0, 10**7), st.integers(0, 999).map(lambda number: number / 1000)).map(Seconds))
def test_a_duration_prints_what_it_reads(seconds: Seconds) -> None:
    """Printing and reading again loses nothing, for whole seconds and for milliseconds below one."""
    assert float(Seconds.parse(str(seconds))) == pytest.approx(float(seconds), rel=1e-12)


def test_long_fractions_print_what_they_read() -> None:
    """Printing and reading again loses nothing, for long durations that are not whole seconds."""
    assert Seconds.parse(str(Seconds(1000.5))) == 1000.5


def test_a_duration_may_be_left_to_the_gateway() -> None:
    """``auto`` is read, printed and told apart from what was written; nonsense is refused as ever."""
    assert AutoSeconds.parse("auto").is_auto
    assert str(AutoSeconds.parse("auto")) == "auto"
    assert (AutoSeconds.parse("2s"), str(AutoSeconds.parse("2s")), AutoSeconds.parse("2s").is_auto) == (
        2.0,
        "2s",
        False,
    )
    with pytest.raises(ValueError, match="duration"):
        AutoSeconds.parse("automatic")
