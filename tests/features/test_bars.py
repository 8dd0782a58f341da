from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from features.bar_checks import JUMP_BOUND
from features.bars import COLUMNS, Bars, validate_bars
from features.calendars import DAY_NS, sessions
from features.errors import InputError
from features.interval import Interval

HOUR = Interval.parse("1h")


def _validate(frame: pd.DataFrame, **options: object) -> Bars:
    options = {"symbol": "SYNTH", "interval": HOUR, **options}
    return validate_bars(frame, **options)  # type: ignore[arg-type]


def _set(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, column] = value
        return frame

    return change


def _rows(rows: list[int]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.iloc[rows].reset_index(drop=True)


REFUSED = {
    "unsorted": (
        _rows([0, 1, 3, 2, 4]),
        r"times of SYNTH must be strictly increasing: 2024-01-01 02:00 UTC is earlier "
        r"than the one before it; sort the bars and remove duplicates",
    ),
    "duplicate": (
        _rows([0, 1, 1, 2]),
        r"times of SYNTH must be strictly increasing: 2024-01-01 01:00 UTC is duplicate",
    ),
    "nan": (
        _set("close", 4, np.nan),
        r"`close` of SYNTH must be finite and positive, got nan at 2024-01-01 04:00 UTC",
    ),
    "inf": (_set("high", 4, np.inf), r"`high` of SYNTH must be finite and positive, got inf at"),
    "negative price": (_set("low", 2, -1.0), r"`low` of SYNTH must be .* positive, got -1 at"),
    "zero price": (_set("open", 2, 0.0), r"`open` of SYNTH must be finite and positive, got 0 at"),
    "negative volume": (
        _set("volume", 2, -3.0),
        r"`volume` of SYNTH must be finite and not negative, got -3 at",
    ),
    "volume nan": (_set("volume", 2, np.nan), r"`volume` of SYNTH must be finite and not negative"),
    "high below low": (
        _set("high", 3, 1.0),
        r"`high` of SYNTH breaks high >= max\(open, close\) at 2024-01-01 03:00 UTC: "
        r"open [\d.]+, high 1, low [\d.]+, close [\d.]+; repair the bar",
    ),
    "high below close": (
        lambda f: f.assign(high=np.where(f.index == 5, (f.open + f.close) / 2, f.high)),
        r"`high` of SYNTH breaks high >= max\(open, close\) at 2024-01-01 05:00",
    ),
    "low above open": (
        lambda f: f.assign(low=np.where(f.index == 5, (f.open + f.close) / 2, f.low)),
        r"`low` of SYNTH breaks low <= min\(open, close\) at 2024-01-01 05:00",
    ),
    "empty": (lambda f: f.iloc[:0], r"bars of SYNTH are empty; give a series with at least one"),
    "missing columns": (
        lambda f: f.drop(columns=["low", "volume"]),
        r"bars of SYNTH lack the column\(s\) low, volume; needed are timestamp, .*got timestamp",
    ),
    "text": (lambda f: f.assign(close="x"), r"`close` of SYNTH must be numbers; could not convert"),
    "time missing": (
        _set("timestamp", 3, pd.NaT),
        r"`timestamp` of SYNTH is missing in row 3; remove or repair it",
    ),
    "time unreadable": (
        lambda f: f.assign(timestamp="yesterday"),
        r"`timestamp` of SYNTH must be UTC times or ISO 8601 text, got 'yesterday'",
    ),
    "finer bars": (
        lambda f: f.assign(timestamp=pd.date_range("2024", periods=len(f), freq="15min")),
        r"bars of SYNTH are not 1h bars: 2024-01-01 00:15 UTC comes 15 min "
        r"after the bar before it; give the interval of the data",
    ),
    "coarser bars": (
        lambda f: f.assign(timestamp=pd.date_range("2024", periods=len(f), freq="4h")),
        r"bars of SYNTH are not 1h bars: the shortest step between two bars is 4 h",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str, synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    change, text = REFUSED[case]
    with pytest.raises(InputError, match=text) as caught:
        _validate(change(synthetic_frame(10)))
    assert "\n" not in str(caught.value)


def test_refuses_daily_bars_as_weekly(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    with pytest.raises(InputError, match="are not 1w bars"):
        _validate(synthetic_frame(30, interval="1d"), interval=Interval.parse("1w"))


def test_accepts_weekly_bars_that_open_on_the_first_trading_day() -> None:
    times = pd.to_datetime(["2024-01-02", "2024-01-08", "2024-01-16", "2024-01-22", "2024-01-29"])
    frame = pd.DataFrame({"timestamp": times, **dict.fromkeys(COLUMNS[1:], 1.0)})
    assert len(_validate(frame, interval=Interval.parse("1w"))) == 5


@pytest.mark.parametrize("name", ["XSHG", "XTKS", "XNYS"])
@pytest.mark.parametrize("stamp", ["first", "last"])
@pytest.mark.parametrize("midnight", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_accepts_weekly_bars_of_holiday_weeks(name: str, stamp: str, midnight: str) -> None:
    """After a week of holidays in Shanghai, trading begins on a Thursday or a Friday."""
    first, last = (pd.Timestamp(day).value // DAY_NS for day in ("2019-01-01", "2025-12-31"))
    days = pd.to_datetime(sessions(name, first, last).day * DAY_NS)
    weeks = days.to_series().groupby((days - pd.Timestamp("2018-12-31")).days // 7)
    times = pd.DatetimeIndex(getattr(weeks, stamp)()).tz_localize(midnight).tz_convert("UTC")
    frame = pd.DataFrame({"timestamp": times, **dict.fromkeys(COLUMNS[1:], 1.0)})
    week = Interval.parse("1w")
    assert len(_validate(frame, interval=week)) == len(times)
    # A second bar of one week is refused.
    extra = pd.concat([frame, frame.iloc[[20]].assign(timestamp=times[20] + pd.Timedelta("1D"))])
    if stamp == "first":
        with pytest.raises(InputError, match=r"are not 1w bars: .* comes 1 d after"):
            _validate(extra.sort_values("timestamp"), interval=week)


def test_refuses_epoch_numbers(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(10)
    frame["timestamp"] = 1_700_000_000 + 3_600 * np.arange(10)
    with pytest.raises(InputError, match=r"`timestamp` of SYNTH must be UTC times or ISO 8601"):
        _validate(frame)


def test_refuses_an_unknown_calendar(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    with pytest.raises(
        InputError, match=r"`calendar` must be auto, 24/7, 24/5 or a name of .*, got 'nys'"
    ):
        _validate(synthetic_frame(10), calendar="nys")


def _split(frame: pd.DataFrame, factor: float, *rows: int) -> pd.DataFrame:
    for row in rows:
        frame.loc[row:, ["open", "high", "low", "close"]] /= factor
    return frame


def test_suspected_splits_stop_with_their_dates(
    synthetic_frame: Callable[..., pd.DataFrame],
) -> None:
    frame = _split(synthetic_frame(200, interval="1d"), 2.0, 60, 121)
    text = (
        r"bars of SYNTH jump by more than a factor 1\.42 within one bar, as unadjusted splits do: "
        r"2024-03-01 \(-\d\d%\), 2024-05-01 \(-\d\d%\); adjust the prices, or train with --all"
    )
    with pytest.raises(InputError, match=text):
        _validate(frame, interval=Interval.parse("1d"))
    assert len(_validate(frame, interval=Interval.parse("1d"), allow_jumps=True)) == 200


def test_many_suspected_splits_are_counted(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = _split(synthetic_frame(200), 2.0, *range(10, 120, 10))
    with pytest.raises(InputError, match=r"2024-01-04 .* and 3 more; adjust"):
        _validate(frame)


@pytest.mark.parametrize(("factor", "refused"), [(0.99, False), (1.01, True), (-1.01, True)])
def test_jump_bound(
    factor: float, refused: bool, synthetic_frame: Callable[..., pd.DataFrame]
) -> None:
    frame = synthetic_frame(10, spread=1e-9)
    frame = _split(frame, float(np.exp(JUMP_BOUND * factor)), 5)
    if refused:
        with pytest.raises(InputError, match="jump by more than"):
            _validate(frame)
    else:
        assert len(_validate(frame)) == 10


def test_one_bad_tick_is_not_a_split(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(10)
    frame.loc[5, ["open", "high"]] = 300.0
    assert len(_validate(frame)) == 10


def test_drops_a_last_bar_that_is_still_open(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(10)  # The last bar opens at 09:00 and closes at 10:00.
    closing = pd.Timestamp("2024-01-01 10:00", tz="UTC")
    almost = closing - pd.Timedelta(1, "ns")
    assert len(_validate(frame, now=closing)) == 10
    assert len(_validate(frame, now=almost)) == 9
    assert len(_validate(frame, now=almost.as_unit("us"))) == 9
    assert len(_validate(frame)) == 10
    # A bar that is still open is not validated.
    frame.loc[9, "close"] = np.nan
    assert len(_validate(frame, now=almost)) == 9
    with pytest.raises(InputError, match=r"are one bar only, which is still open; wait until it"):
        _validate(frame.iloc[:1], now=pd.Timestamp("2024-01-01 00:30", tz="UTC"))


def test_times_in_any_form_give_equal_bars(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(48)
    aware = frame["timestamp"]
    forms = {
        "aware": aware,
        "other zone": aware.dt.tz_convert("Asia/Tokyo"),
        "naive": aware.dt.tz_localize(None),
        "seconds": aware.dt.tz_localize(None).astype("datetime64[s]"),
        "text": aware.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "text with offset": aware.dt.tz_convert("Asia/Tokyo").map(lambda t: t.isoformat()),
        "text without zone": aware.dt.strftime("%Y-%m-%d %H:%M"),
    }
    digests = {name: _validate(frame.assign(timestamp=form)).digest for name, form in forms.items()}
    assert len(set(digests.values())) == 1, digests
    bars = _validate(frame)
    pd.testing.assert_index_equal(
        bars.timestamps, pd.DatetimeIndex(aware, name="timestamp").as_unit("ns"), check_names=True
    )


def test_arrays_and_frame(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(30)
    bars = _validate(frame.assign(note="ignored", volume=np.arange(30)))
    for name in COLUMNS[1:]:
        array = getattr(bars, name)
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
    assert list(bars.to_frame().columns) == list(COLUMNS)
    again = _validate(bars.to_frame())
    assert again.digest == bars.digest
    part = bars.slice(3, 9)
    assert len(part) == 6
    assert part.timestamps[0] == frame["timestamp"][3]


def test_digest_depends_on_every_value_and_name(
    synthetic_frame: Callable[..., pd.DataFrame],
) -> None:
    frame = synthetic_frame(30)
    base = _validate(frame, calendar="24/7").digest
    assert _validate(frame.copy(), calendar="24/7").digest == base
    others = [
        _validate(frame, calendar="24/7", symbol="OTHER").digest,
        _validate(frame, calendar="24/5").digest,
        _validate(frame.iloc[:-1], calendar="24/7").digest,
        _validate(
            frame.assign(timestamp=frame["timestamp"] + pd.Timedelta("1h")), calendar="24/7"
        ).digest,
    ]
    for name in COLUMNS[1:]:
        changed = frame.copy()
        # The smallest possible change, in the direction that keeps the bar valid.
        changed.loc[17, name] = np.nextafter(changed.loc[17, name], 1e9 if name != "low" else 0.0)
        others.append(_validate(changed, calendar="24/7").digest)
    assert len({base, *others}) == len(others) + 1


def test_segment_start(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(20).drop(index=[5, 10, 11, 12]).reset_index(drop=True)
    bars = _validate(frame, calendar="24/7")
    assert np.flatnonzero(bars.missing).tolist() == [5, 9]
    assert bars.missing[[5, 9]].tolist() == [1, 3]
    assert bars.segment_start(0).tolist() == [0] * 5 + [5] * 4 + [9] * 7
    assert bars.segment_start(1).tolist() == [0] * 9 + [9] * 7
    assert bars.segment_start(2).tolist() == [0] * 9 + [9] * 7
    assert bars.segment_start(3).tolist() == [0] * 16


def test_sample_bars_are_valid(sample_bars: Callable[[str, str], Bars]) -> None:
    euro = sample_bars("EURUSD", "1h")
    assert (len(euro), euro.calendar, euro.periods_per_year) == (6_225, "24/5", 6_264)
    # From Christmas and New Year, and a stop of the source on 4 and 5 September.
    assert (int(euro.missing.sum()), int(euro.missing.max())) == (15, 14)
    assert str(euro.timestamps[0]) == "2017-01-01 22:00:00+00:00"
    share = sample_bars("GOOGL", "1d")
    assert (len(share), share.calendar, int(share.missing.sum())) == (2_335, "XNYS", 0)
    assert share.periods_per_year == pytest.approx(251.63, abs=0.1)


@pytest.mark.parametrize(
    ("zone", "freq", "text", "calendar"),
    [
        ("America/New_York", "B", "1d", "24/5"),
        ("Europe/Berlin", "B", "1d", "24/5"),
        ("Asia/Tokyo", "B", "1d", "24/5"),
        ("Europe/Berlin", "D", "1d", "24/7"),
    ],
)
def test_daily_bars_that_open_at_local_midnight_have_no_gaps(
    zone: str, freq: str, text: str, calendar: str
) -> None:
    times = pd.date_range("2022-01-03", "2024-01-05", freq=freq, tz=zone)
    frame = pd.DataFrame({"timestamp": times, **dict.fromkeys(COLUMNS[1:], 1.0)})
    bars = _validate(frame, interval=Interval.parse(text))
    assert bars.calendar == calendar
    assert bars.missing.sum() == 0
    with_gap = _validate(frame.drop(index=[300]), interval=Interval.parse(text))
    assert with_gap.missing.sum() == with_gap.missing[300] == 1


def test_four_hour_bars_may_shift_with_local_clocks() -> None:
    local = pd.date_range("2024-01-01", "2024-12-31", freq="4h")
    times = local.tz_localize("Europe/Athens", nonexistent="shift_forward", ambiguous=True)
    times = times[times.day_of_week < 5]
    frame = pd.DataFrame({"timestamp": times, **dict.fromkeys(COLUMNS[1:], 1.0)})
    assert len(_validate(frame, interval=Interval.parse("4h"))) == len(times)


def test_shifts_that_are_more_frequent_than_clock_changes_are_refused() -> None:
    times = pd.date_range("2024-01-01", periods=200, freq="3h", tz="UTC")
    frame = pd.DataFrame({"timestamp": times, **dict.fromkeys(COLUMNS[1:], 1.0)})
    with pytest.raises(InputError, match="are not 4h bars"):
        _validate(frame, interval=Interval.parse("4h"))


def test_times_in_the_future_are_refused(synthetic_frame: Callable[..., pd.DataFrame]) -> None:
    frame = synthetic_frame(10)
    now = frame["timestamp"].iloc[8] + pd.Timedelta("1h")
    assert len(_validate(frame, now=now)) == 9
    with pytest.raises(
        InputError, match=r"must not lie in the future: the bar of 2024-01-01 08:00 UTC "
    ):
        _validate(frame, now=now - pd.Timedelta("1ns"))


@pytest.mark.parametrize("year", [3023, 9999])
def test_years_out_of_the_range_of_nanoseconds_are_refused(year: int) -> None:
    times = pd.DatetimeIndex([np.datetime64(f"{year}-01-01T0{hour}", "us") for hour in range(3)])
    frame = pd.DataFrame({"timestamp": times.tz_localize("UTC"), **dict.fromkeys(COLUMNS[1:], 1.0)})
    with pytest.raises(InputError, match="must lie between 1678 and 2262; repair it"):
        _validate(frame)
