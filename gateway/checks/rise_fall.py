"""Up or down, by what active checks saw: a word is believed after so many in a row."""

from __future__ import annotations


class RiseFall:
    """Judges one endpoint; it is up until ``fall`` checks in a row have failed, then down until ``rise`` passed."""

    __slots__ = ("_fall", "_rise", "_streak", "is_up")

    def __init__(self, rise: int, fall: int) -> None:
        self.is_up = True
        self._rise = rise
        self._fall = fall
        self._streak = 0

    def note(self, *, has_passed: bool) -> bool:
        """Take one result; True when the judgement changed."""
        if has_passed is self.is_up:
            self._streak = 0
            return False
        self._streak += 1
        if self._streak < (self._fall if self.is_up else self._rise):
            return False
        self.is_up = has_passed
        self._streak = 0
        return True

    @property
    def is_certain(self) -> bool:
        """Whether the last check agreed with the judgement; while it does not, checks come faster."""
        return self._streak == 0
