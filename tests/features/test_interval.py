from __future__ import annotations

import pytest

from features.errors import InputError
from features.interval import Interval


@pytest.mark.parametrize(
    ("text", "seconds", "intraday"),
    [
        ("1m", 60, True),
        ("15m", 900, True),
        ("1h", 3_600, True),
        ("4h", 14_400, True),
        ("24h", 86_400, False),
        ("1d", 86_400, False),
        ("1w", 604_800, False),
    ],
)
def test_parse(text: str, seconds: int, intraday: bool) -> None:
    interval = Interval.parse(text)
    assert (interval.text, interval.ns, interval.intraday) == (text, seconds * 10**9, intraday)


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "1.5h", "1H", "1s", "1h ", "01h", "99999m"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InputError, match=r"`interval` must be a count and one of m, h, d, w, got"):
        Interval.parse(text)
