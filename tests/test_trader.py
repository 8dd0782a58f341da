"""The trader at a set clock: which bar it decides, when that can be filled, whether bars are late.

Bars are SYNTHETIC, in the golden sessions of 2024. The expected bars follow from the exchanges'
published hours, holidays and half days, not from the product.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

import trader
from adapters.base import Batch
from adapters.lgbm import LightGBMAdapter
from features.bars import validate_bars
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from tests.golden_sessions import ZONES, daily_times, frame_at, golden_sessions, intraday_times
from trainer import flavor
from trainer.errors import TrainerError
from trainer.serving.calibrators import PlattCalibrator
from trainer.serving.contract import Contract
from trainer.serving.threshold import Threshold
from trainer.serving.trading_model import TradingModel


class Row(NamedTuple):
    """One look at the clock: local time in the exchange's zone."""

    exchange: str
    stamp: str
    now: str
    bar: str
    fill: str


#: (exchange, local time, session decided, next session): the same for each of the four stamps.
DAILY = (
    # New York, 09:30 to 16:00; 3 July 2024 ends at 13:00, 4 July is a holiday.
    ("XNYS", "2024-07-02 09:29", "2024-07-01", "2024-07-02 09:30"),
    ("XNYS", "2024-07-02 15:59", "2024-07-01", "2024-07-02 09:30"),
    ("XNYS", "2024-07-02 16:00", "2024-07-02", "2024-07-03 09:30"),
    ("XNYS", "2024-07-03 12:59", "2024-07-02", "2024-07-03 09:30"),
    ("XNYS", "2024-07-03 13:00", "2024-07-03", "2024-07-05 09:30"),
    ("XNYS", "2024-07-04 12:00", "2024-07-03", "2024-07-05 09:30"),
    ("XNYS", "2024-07-05 08:00", "2024-07-03", "2024-07-05 09:30"),
    ("XNYS", "2024-07-06 12:00", "2024-07-05", "2024-07-08 09:30"),  # Saturday
    ("XNYS", "2024-07-08 09:29", "2024-07-05", "2024-07-08 09:30"),  # Monday morning
    ("XNYS", "2024-03-11 16:00", "2024-03-11", "2024-03-12 09:30"),  # after the clocks changed
    ("XETR", "2024-07-02 17:29", "2024-07-01", "2024-07-02 09:00"),
    ("XETR", "2024-07-02 17:30", "2024-07-02", "2024-07-03 09:00"),
    ("XETR", "2024-04-01 12:00", "2024-03-28", "2024-04-02 09:00"),  # Easter Monday
    ("XLON", "2024-12-24 12:30", "2024-12-24", "2024-12-27 08:00"),  # Christmas Eve, a half day
    ("XLON", "2024-12-24 12:29", "2024-12-23", "2024-12-24 08:00"),
    ("XTKS", "2024-11-01 15:00", "2024-11-01", "2024-11-05 09:00"),
    ("XTKS", "2024-11-05 15:29", "2024-11-01", "2024-11-05 09:00"),  # open until 15:30 since then
    ("XTKS", "2024-11-05 15:30", "2024-11-05", "2024-11-06 09:00"),
    ("XASX", "2024-01-02 15:59", "2023-12-29", "2024-01-02 10:00"),
    ("XASX", "2024-01-02 16:00", "2024-01-02", "2024-01-03 10:00"),
    ("XHKG", "2024-02-09 12:00", "2024-02-09", "2024-02-14 09:30"),  # New Year's eve in China
    ("XTSE", "2024-07-01 18:00", "2024-06-28", "2024-07-02 09:30"),  # Canada Day
    # Futures: the session of Tuesday begins on Monday at 17:00.
    ("CMES", "2024-07-09 16:59", "2024-07-08", "2024-07-08 17:00"),
    ("CMES", "2024-07-09 17:00", "2024-07-09", "2024-07-09 17:00"),
)
TABLE = [
    Row(exchange, stamp, now, bar, fill)
    for exchange, now, bar, fill in DAILY
    for stamp in ("open", "close", "local midnight", "UTC date")
]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """``model_of(exchange, interval)``: a model URI; each model is fitted once."""
    made: dict[tuple[str, str], str] = {}

    def make(exchange: str, interval: str) -> str:
        key = (exchange, interval)
        if key not in made:
            folder = tmp_path_factory.mktemp("model")
            _save(folder / "parts", exchange, interval)
            flavor.save_model(folder / "parts", folder / "mlflow")
            made[key] = f"file:{folder / 'mlflow'}"
        return made[key]

    return make


def _save(folder: Path, exchange: str, text: str) -> None:
    """Write a model of a few returns for bars of an exchange."""
    interval = Interval.parse(text)
    times = daily_times(exchange, "open") if text == "1d" else intraday_times(exchange, text)
    bars = validate_bars(
        frame_at(times[:400]), symbol="SYNTH", interval=interval, calendar=exchange
    )
    features = FeatureSet.build(interval=interval, groups=["returns"], windows={"ret": [1, 4]})
    X = features.compute(bars)
    rows = np.flatnonzero(np.isfinite(X).all(axis=1))[:-1]
    y = (bars.close[rows + 1] > bars.close[rows]).astype(float)
    adapter = LightGBMAdapter(task="classification", params={"num_boost_round": 3})
    adapter.fit(Batch(X[rows], y, np.ones(len(rows)), rows))
    contract = Contract(
        "lightgbm", "SYNTH", text, bars.calendar, "direction", 1, 10.0, 5.0, 24, False
    )
    model = TradingModel(
        contract, features, adapter, PlattCalibrator(4.0, -2.0), Threshold(0.5, True)
    )
    model.save(folder, bars=bars, metrics={}, config={})


def _decide(
    folder: Path, uri: str, times: pd.DatetimeIndex, now: pd.Timestamp, interval: str = "1d"
) -> trader.Decisions:
    folder.mkdir(exist_ok=True)
    frame_at(times).to_parquet(folder / f"SYNTH_{interval}.parquet")
    return trader.decide(uri, str(folder), now=now)


def _stamped(row: Row) -> pd.Series:
    """Return the stamps of the daily bars of an exchange by session date, and their opens."""
    sessions = golden_sessions(row.exchange)
    return pd.Series(daily_times(row.exchange, row.stamp), index=sessions["day"])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(row[:3]))
def test_the_last_complete_daily_bar_is_decided(row: Row, model_of, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    zone = ZONES[row.exchange]
    now = pd.Timestamp(row.now, tz=zone).tz_convert("UTC")
    stamps = _stamped(row)
    # A feed has every bar whose session has begun: the last one may still change.
    begun = stamps[(golden_sessions(row.exchange)["open"] <= now).to_numpy()]
    times = pd.DatetimeIndex(begun)[-70:]
    uri = model_of(row.exchange, "1d")
    decisions = _decide(tmp_path / "bars", uri, times, now)
    decided = decisions.frame.iloc[-1]
    assert decided["timestamp"] == stamps[pd.Timestamp(row.bar)]
    assert decided["session"] == row.bar
    assert decided["fill_at"].tz_convert(zone) == pd.Timestamp(row.fill, tz=zone)
    assert decided["complete_at"] <= now
    assert decisions.bars_late == 0, "no scheduled bar is missing: not on Mondays, not on holidays"
    # Without the newest complete bars the trader says that they are missing.
    complete = times[times <= decided["timestamp"]]
    late = _decide(tmp_path / "late", uri, complete[:-2], now)
    assert (late.bars_late, late.frame.iloc[-1]["timestamp"]) == (2, complete[-3])


@pytest.mark.parametrize(
    ("exchange", "now", "bar", "fill", "is_open"),
    [
        ("XNYS", "2024-07-02 10:29", "2024-07-01 15:30", "2024-07-02 09:30", True),
        ("XNYS", "2024-07-02 10:30", "2024-07-02 09:30", "2024-07-02 10:30", True),
        # The last bar of a session ends with it: half an hour, on a half day too.
        ("XNYS", "2024-07-02 15:59", "2024-07-02 14:30", "2024-07-02 15:30", True),
        ("XNYS", "2024-07-02 16:00", "2024-07-02 15:30", "2024-07-03 09:30", False),
        ("XNYS", "2024-07-03 13:00", "2024-07-03 12:30", "2024-07-05 09:30", False),
        ("XNYS", "2024-07-06 13:00", "2024-07-05 15:30", "2024-07-08 09:30", False),
        # The break in Tokyo: the bar of 11:00 ends at 11:30.
        ("XTKS", "2024-07-02 11:30", "2024-07-02 11:00", "2024-07-02 12:30", False),
        ("XTKS", "2024-07-02 12:00", "2024-07-02 11:00", "2024-07-02 12:30", False),
        ("XHKG", "2024-07-02 12:00", "2024-07-02 11:30", "2024-07-02 13:00", False),
        ("XETR", "2024-07-02 17:30", "2024-07-02 17:00", "2024-07-03 09:00", False),
    ],
)
def test_the_last_complete_hourly_bar_is_decided(  # type: ignore[no-untyped-def]
    exchange: str, now: str, bar: str, fill: str, is_open: bool, model_of, tmp_path: Path
) -> None:
    zone = ZONES[exchange]
    moment = pd.Timestamp(now, tz=zone).tz_convert("UTC")
    times = intraday_times(exchange, "1h")
    times = times[times <= moment][-90:]
    decisions = _decide(tmp_path / "bars", model_of(exchange, "1h"), times, moment, "1h")
    decided = decisions.frame.iloc[-1]
    assert decided["timestamp"].tz_convert(zone) == pd.Timestamp(bar, tz=zone)
    assert decided["fill_at"].tz_convert(zone) == pd.Timestamp(fill, tz=zone)
    assert (decisions.open_bar is not None) == is_open
    assert decisions.bars_late == 0
    assert "session" not in decisions.frame


def test_json_says_which_bar_and_when_it_can_be_filled(model_of, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    times = daily_times("XNYS", "open")
    now = pd.Timestamp("2024-07-03 13:00", tz=ZONES["XNYS"]).tz_convert("UTC")
    decisions = _decide(tmp_path / "bars", model_of("XNYS", "1d"), times[times <= now], now)
    told = decisions.to_json()
    assert told["calendar"] == "XNYS"
    assert (told["bars_late"], told["open_bar"], told["notices"]) == (0, None, ())
    (decision,) = told["decisions"]
    assert decision["timestamp"] == "2024-07-03T13:30:00+00:00"
    assert decision["session"] == "2024-07-03"
    assert decision["complete_at"] == "2024-07-03T17:00:00+00:00"
    assert decision["fill_at"] == "2024-07-05T13:30:00+00:00"


def test_the_last_decision_is_explained_on_demand(  # type: ignore[no-untyped-def]
    model_of, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = daily_times("XNYS", "open")
    now = pd.Timestamp("2024-07-03 13:00", tz=ZONES["XNYS"]).tz_convert("UTC")
    uri, folder = model_of("XNYS", "1d"), tmp_path / "bars"
    plain = _decide(folder, uri, times[times <= now], now)
    assert "explanation" not in plain.to_json()
    decisions = trader.decide(uri, str(folder), now=now, explained=True)
    explained = json.loads(json.dumps(decisions.to_json()))["explanation"]
    assert explained["timestamp"] == "2024-07-03T13:30:00+00:00"
    assert explained["score"] == plain.frame["score"].iloc[-1]
    parts = [explained["base"], explained["others"], *(p["part"] for p in explained["largest"])]
    assert sum(parts) == pytest.approx(explained["total"], abs=1e-12)
    trader._print_table(decisions)
    printed = capsys.readouterr().out
    assert "The score of 2024-07-03T13:30:00+00:00" in printed
    assert explained["largest"][0]["feature"] in printed


def test_a_model_with_the_retired_calendar_decides_with_a_notice(tmp_path: Path) -> None:
    """Its bars are stamped 09:30 in New York: 3 July 2023 ended at 13:00."""
    stored = Path(__file__).parent / "data" / "model_equity"
    flavor.save_model(stored, tmp_path / "mlflow")
    times = daily_times("XNYS", "open")
    times = times[times <= pd.Timestamp("2023-07-03 14:00", tz="UTC")]
    now = pd.Timestamp("2023-07-03 17:00", tz="UTC")
    decisions = _decide(tmp_path / "bars", f"file:{tmp_path / 'mlflow'}", times, now)
    assert decisions.calendar == "XNYS"
    assert str(decisions.frame["timestamp"].iloc[-1]) == "2023-07-03 13:30:00+00:00"
    (notice,) = decisions.notices
    assert notice == (
        "This version was trained with the calendar 'equity' of an earlier Barwright. Its bars are "
        "read by the sessions of XNYS, which its golden bars follow; train again to store the "
        "calendar."
    )
    both = trader._notices(flavor.load_model(f"file:{tmp_path / 'mlflow'}"), "long")
    assert both == ("This model holds no positions, so --held has no effect.", notice)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-03T17:05Z", "2024-07-03 17:05:00+00:00"),
        ("2024-07-03 17:05", "2024-07-03 17:05:00+00:00"),
        ("2024-07-03 13:05-04:00", "2024-07-03 17:05:00+00:00"),
        ("", "None"),
    ],
)
def test_the_option_at_is_a_time(text: str, expected: str) -> None:
    assert str(trader._moment(text)) == expected


@pytest.mark.parametrize(
    "text", ["soon", "nat", "2024-13-01", "01/02/2024", "12:30", "2199-01-01", "3000-01-01"]
)
def test_other_texts_are_refused(text: str) -> None:
    rule = "a time in ISO 8601 that is not in the future"
    with pytest.raises(InputError, match=f"`--at` must be {rule}, got {text!r}; write for exa"):
        trader._moment(text)


def test_a_time_before_the_first_bar_is_refused(model_of, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    times = daily_times("XNYS", "open")
    with pytest.raises(
        InputError, match="`--at` must be after the first bar, 2023-01-03 14:30 UTC"
    ):
        _decide(
            tmp_path / "bars", model_of("XNYS", "1d"), times, pd.Timestamp("2020-01-01", tz="UTC")
        )


def test_a_password_in_an_address_of_an_error_is_hidden(registry_store, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def fail(_: str) -> None:
        raise MlflowException("GET http://me:secret@host/api failed\nmore")

    monkeypatch.setattr("trainer.tracking.model_uri.resolve", fail)
    with pytest.raises(
        TrainerError, match=r"GET http://me:\*\*\*@host/api failed; train it"
    ) as error:
        trader.decide("models:/m/1", "sample")
    assert "secret" not in str(error.value)
