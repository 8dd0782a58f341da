from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InputError
from features.inspection import inspect_path
from features.sources import other_files
from tests.golden_sessions import daily_times, frame_at

MakeFrame = Callable[..., pd.DataFrame]


@pytest.fixture
def folder(tmp_path: Path, synthetic_frame: MakeFrame) -> Path:
    """Three files: good hourly bars, daily bars with a jump, and a file that is refused."""
    synthetic_frame(400).drop(index=[7, 8]).to_csv(tmp_path / "GOOD_1h.csv", index=False)
    jump = synthetic_frame(300, interval="1d")
    jump.loc[200:, ["open", "high", "low", "close"]] /= 2
    jump.to_parquet(tmp_path / "SPLIT_1d.parquet")
    bad = synthetic_frame(50)
    bad.loc[3, "low"] = -1
    bad.to_csv(tmp_path / "BAD_1h.csv", index=False)
    (tmp_path / "notes.txt").write_text("no bars")
    return tmp_path


def test_every_file_of_a_folder_is_inspected(folder: Path) -> None:
    found = {one.file: one for one in inspect_path(folder)}
    assert sorted(found) == ["BAD_1h.csv", "GOOD_1h.csv", "SPLIT_1d.parquet"]
    good = found["GOOD_1h.csv"]
    assert (good.error, good.symbol, good.interval) == (None, "GOOD", "1h")
    assert (good.rows, good.bars, good.calendar, good.bars_per_year) == (398, 398, "24/7", 8_760)
    assert good.gaps == {"gaps": 1, "missing_bars": 2, "longest": 2}
    assert (good.first, good.last) == ("2024-01-01T00:00:00+00:00", "2024-01-17T15:00:00+00:00")
    assert good.understood.startswith("GOOD_1h.csv: 398 rows, times ISO 8601 with offset")
    assert good.jumps == ()


def test_files_of_other_kinds_are_named(folder: Path) -> None:
    (folder / ".hidden").write_text("")
    assert other_files(folder) == ("notes.txt",)
    assert other_files(folder / "notes.txt") == ()


def test_the_sample_bars_can_be_inspected() -> None:
    found = {one.symbol: one for one in inspect_path(Path("sample"))}
    assert sorted(found) == ["EURUSD", "GOOGL", "NASDAQ", "SP500"]
    assert [one.error for one in found.values()] == [None] * 4
    assert found["GOOGL"].sessions == ("2009-05-22", "2018-08-29")
    assert found["EURUSD"].sessions == ()


def test_daily_bars_of_midnight_in_tokyo_have_the_date_of_tokyo(tmp_path: Path) -> None:
    times = daily_times("XTKS", "local midnight")
    frame_at(times).to_csv(tmp_path / "T_1d.csv", index=False)
    (one,) = inspect_path(tmp_path / "T_1d.csv")
    assert (one.first[:10], one.sessions) == ("2023-01-03", ("2023-01-04", "2024-12-30"))


def test_an_open_last_bar_is_named(tmp_path: Path, synthetic_frame: MakeFrame) -> None:
    now = pd.Timestamp.now("UTC").floor("h")
    frame = synthetic_frame(50, start=f"{now - pd.Timedelta('49h'):%Y-%m-%d %H:%M}")
    frame.to_csv(tmp_path / "NOW_1h.csv", index=False)
    (one,) = inspect_path(tmp_path / "NOW_1h.csv")
    assert one.bars == 49
    note = f"the last bar, {now:%Y-%m-%d %H:%M} UTC, is still open, and left out"
    assert one.notes[-1] == note


@pytest.mark.parametrize("kind", ["long name", "closed folder", "vanished folder"])
def test_a_folder_that_cannot_be_read_is_an_error(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root user may read a closed folder, so that its error is raised here."""
    path = folder / ("x" * 300) if kind == "long name" else folder
    if kind == "long name":
        with pytest.raises(InputError, match="there is no file or folder"):
            inspect_path(path)
        return
    error = PermissionError(13, "Permission denied")
    if kind == "vanished folder":
        error = FileNotFoundError(2, "No such file or directory")  # type: ignore[assignment]

    def iterdir(self: Path) -> None:
        raise error

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(InputError, match=f"cannot be read: {error.strerror}; give a folder that"):
        inspect_path(path)


def test_a_jump_is_listed_and_no_error(folder: Path) -> None:
    (split,) = inspect_path(folder / "SPLIT_1d.parquet")
    assert split.error is None
    (jump,) = split.jumps
    assert jump.startswith("2024-07-19 (-")


def test_every_jump_is_counted(tmp_path: Path, synthetic_frame: MakeFrame) -> None:
    frame = synthetic_frame(300, interval="1d", start="2020-01-01")
    for row in range(20, 260, 20):  # twelve splits
        frame.loc[row:, ["open", "high", "low", "close"]] /= 2
    frame.to_csv(tmp_path / "SPLITS_1d.csv", index=False)
    (one,) = inspect_path(tmp_path / "SPLITS_1d.csv")
    assert len(one.jumps) == 12


def test_a_symbol_may_contain_a_dot(tmp_path: Path, synthetic_frame: MakeFrame) -> None:
    for name in ("BRK.B_1h.csv", "BRK.B_1h.csv.gz"):
        synthetic_frame(60).to_csv(tmp_path / name, index=False)
        (one,) = inspect_path(tmp_path / name)
        assert (one.symbol, one.interval, one.error) == ("BRK.B", "1h", None)


def test_a_refused_file_says_why_and_what_was_read(folder: Path) -> None:
    (bad,) = inspect_path(folder / "BAD_1h.csv")
    assert bad.error is not None
    assert "`low` of BAD must be finite and positive, got -1 at 2024-01-01 03:00" in bad.error
    assert (bad.rows, bad.interval, bad.bars) == (50, "1h", 0)


@pytest.mark.parametrize(
    ("interval", "expected"), [("5m", "5m"), ("1h", "1h"), ("4h", "4h"), ("1d", "1d"), ("7d", "1w")]
)
def test_the_interval_of_another_file_name_is_the_usual_step(
    interval: str, expected: str, tmp_path: Path, synthetic_frame: MakeFrame
) -> None:
    path = tmp_path / "prices.csv"
    frame = synthetic_frame(200, interval=interval, start="2015-01-05")
    frame.drop(index=[3, 4, 5]).to_csv(path, index=False)
    (one,) = inspect_path(path)
    assert (one.symbol, one.interval, one.error) == ("prices", expected, None)


def test_a_step_that_is_no_interval_is_refused(tmp_path: Path) -> None:
    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(30) * 90, unit="s")
    names = ("open", "high", "low", "close", "volume")
    path = tmp_path / "odd.csv"
    pd.DataFrame({"timestamp": times, **dict.fromkeys(names, 1.0)}).to_csv(path, index=False)
    (one,) = inspect_path(path)
    assert one.error is not None
    assert "mostly come 1 min 30 s after each other" in one.error
    assert inspect_path(path, interval="1m")[0].error is not None


def test_a_given_calendar_is_used(folder: Path) -> None:
    (one,) = inspect_path(folder / "GOOD_1h.csv", calendar="24/5")
    assert one.error is not None
    assert "are not bars of the calendar 24/5" in one.error


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "there is no file or folder"), ("empty", "has no file of bars; give a file, or")],
)
def test_nothing_to_inspect_is_an_error(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        inspect_path(tmp_path / name)
