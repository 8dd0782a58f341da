"""The length of a bar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from features.errors import InputError

_UNIT_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAY_NS = 86_400 * 10**9


_INTERVAL = re.compile(r"([1-9][0-9]{0,3})([mhdw])")


def is_interval(text: str) -> bool:
    """Return whether a text is an interval.

    Examples
    --------
    >>> is_interval("4h"), is_interval("h4")
    (True, False)
    """
    return _INTERVAL.fullmatch(text) is not None


@dataclass(frozen=True)
class Interval:
    """Length of one bar.

    Attributes
    ----------
    text : str
        A count and a unit, as the user wrote it: ``"15m"``, ``"1h"``, ``"1d"``, ``"1w"``.
    ns : int
        The length in nanoseconds.
    """

    text: str
    ns: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Parse a text such as ``"15m"``, ``"1h"``, ``"4h"``, ``"1d"`` or ``"1w"``.

        Raises
        ------
        InputError
            If the text is not a count from 1 to 9999 with one of the units m, h, d, w.
        """
        match = _INTERVAL.fullmatch(text)
        if match is None:
            raise InputError(
                f"`interval` must be a count and one of m, h, d, w, got {text!r}; "
                "write for example 15m, 1h, 4h or 1d"
            )
        return cls(text, int(match[1]) * _UNIT_SECONDS[match[2]] * 10**9)

    @property
    def intraday(self) -> bool:
        """Whether a bar is shorter than one day."""
        return self.ns < _DAY_NS
