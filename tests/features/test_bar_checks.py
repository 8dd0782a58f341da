from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from features.bars import COLUMNS, Bars, validate_bars
from features.errors import InputError
from features.interval import Interval

MakeFrame = Callable[..., pd.DataFrame]


def _validate(frame: pd.DataFrame, interval: str = "1h", **options: object) -> Bars:
    return validate_bars(frame, symbol="SYNTH", interval=Interval.parse(interval), **options)  # type: ignore[arg-type]


def _error(frame: pd.DataFrame, interval: str = "1h") -> str:
    with pytest.raises(InputError) as caught:
        _validate(frame, interval, calendar="24/7")
    return str(caught.value)


def test_bad_prices_are_counted_and_the_first_five_are_named(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(60)
    frame.loc[10:16, "low"] = -1.0
    assert _error(frame) == (
        "`low` of SYNTH must be finite and positive, got -1 at 2024-01-01 10:00 UTC, "
        "2024-01-01 11:00 UTC, 2024-01-01 12:00 UTC, 2024-01-01 13:00 UTC, "
        "2024-01-01 14:00 UTC (7 bars); remove or repair the bar"
    )


def test_one_bad_bar_is_named_without_a_count(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(20)
    frame.loc[7, "high"] = 1.0
    assert "high >= max(open, close) at 2024-01-01 07:00 UTC: open" in _error(frame)


@pytest.mark.parametrize("column", ["high", "low"])
def test_rounding_in_the_last_place_is_accepted_and_counted(
    synthetic_frame: MakeFrame, column: str
) -> None:
    frame = synthetic_frame(40)
    rows = [5, 6, 30]
    bound = frame[["open", "close"]].max(axis=1) if column == "high" else (
        frame[["open", "close"]].min(axis=1)
    )  # fmt: skip
    frame.loc[rows, column] = np.nextafter(bound, 0 if column == "high" else np.inf)[rows]
    bars = _validate(frame)
    assert (
        bars.notes[-1] == "3 bars with a high or low off by rounding (one unit in the last place)"
    )
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    # Two units are no rounding.
    frame.loc[6, column] = np.nextafter(frame.loc[6, column], 0 if column == "high" else np.inf)
    assert f"`{column}` of SYNTH breaks" in _error(frame)


def test_bars_without_rounding_have_no_note_of_it(synthetic_frame: MakeFrame) -> None:
    assert not [note for note in _validate(synthetic_frame(40)).notes if "rounding" in note]


@pytest.mark.parametrize("rows", [[100], [100, 300]])
def test_single_bars_beside_the_grid_are_named(synthetic_frame: MakeFrame, rows: list[int]) -> None:
    frame = synthetic_frame(400)
    frame.loc[rows, "timestamp"] += pd.Timedelta("7min")
    named = ", ".join(f"{frame['timestamp'][row]:%Y-%m-%d %H:%M} UTC" for row in rows)
    count = "" if len(rows) == 1 else " (2 bars)"
    assert _error(frame) == (
        f"times of SYNTH must be those of 1h bars: {named}{count} between the times of the other "
        "bars; remove or repair the bar"
    )


def test_bars_of_another_length_are_no_single_bars(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(400, interval="90m")
    assert "are not 1h bars: the shortest step between two bars is 1 h 30 min" in _error(frame)


@pytest.mark.parametrize(
    ("zone", "night"),
    [
        ("America/New_York", "2024-11-03"),
        ("Europe/Berlin", "2024-10-27"),
        ("Australia/Sydney", "2024-04-07"),
    ],
)
def test_a_local_clock_is_suspected_when_clocks_are_set_back(zone: str, night: str) -> None:
    start = pd.Timestamp(night, tz=zone) - pd.Timedelta(days=2)
    local = pd.date_range(start, periods=200, freq="30min").tz_localize(None)
    frame = pd.DataFrame({"timestamp": local.as_unit("ns"), **dict.fromkeys(COLUMNS[1:], 1.0)})
    message = _error(frame, "30m")
    assert f"times of SYNTH must be strictly increasing: {night} " in message
    assert (
        "in this night clocks are set back, so these seem to be local times: write UTC" in message
    )


def test_other_duplicates_are_not_blamed_on_clocks(synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(40)
    frame.loc[20, "timestamp"] = frame.loc[19, "timestamp"]
    assert "is duplicate; sort the bars and remove duplicates" in _error(frame)
