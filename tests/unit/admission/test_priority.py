"""Which class a request gets when its route lets it say so."""

from __future__ import annotations

import pytest

from gateway.admission.classes import ClassSettings, compile_classes
from gateway.admission.priority import ClassChooser

CLASSES = compile_classes({"critical": ClassSettings(band=0), "batch": ClassSettings(band=2)})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("u=0", "critical"), ("u=2, i", "critical"), ("u=3", "default"), ("i", "default"), ("", "default"),
        ("u=5", "batch"), ("i, u=7", "batch"), ("u=9", "default"), ("u=-1", "default"), ("xu=0", "default"), ("u=1;a=b", "critical"),
    ],
)  # fmt: skip
def test_urgency_chooses_the_band_where_it_is_allowed(value: str, name: str) -> None:
    """RFC 9218: below 3 the first band, above 3 the last, anything unreadable the route's own."""
    chooser = ClassChooser(CLASSES["default"], CLASSES, header=None, accepts_priority=True)
    assert chooser.choose({"priority": value}, is_trusted=False).name == name
    not_allowed = ClassChooser(CLASSES["default"], CLASSES, header="x-class", accepts_priority=False)
    assert not_allowed.choose({"priority": value}, is_trusted=True).name == "default"


@pytest.mark.parametrize(("value", "is_trusted", "name"), [
    ("batch", True, "batch"), ("batch", False, "default"), ("nobody", True, "default"), ("", True, "default"),
])  # fmt: skip
def test_only_trusted_proxies_name_a_class(value: str, is_trusted: bool, name: str) -> None:  # noqa: FBT001
    """The header counts from a trusted peer, when it names a class that exists."""
    chooser = ClassChooser(CLASSES["default"], CLASSES, header="x-class", accepts_priority=False)
    assert chooser.choose({"x-class": value}, is_trusted=is_trusted).name == name
