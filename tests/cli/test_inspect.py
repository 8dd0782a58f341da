"""The command `inspect`, with the files of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.inspect import inspect
from tests.registry_store import synthetic_bars


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    synthetic_bars(400, seed=1).to_parquet(tmp_path / "GOOD_1h.parquet")
    bad = synthetic_bars(400, seed=2)
    bad.loc[9, "close"] = float("nan")
    bad.to_parquet(tmp_path / "BAD_1h.parquet")
    return tmp_path


def test_a_table_says_what_was_understood(folder: Path) -> None:
    done = CliRunner().invoke(inspect, [str(folder)])
    assert done.exit_code == 1, "one file is refused"
    words = " ".join(done.stdout.split())
    assert "GOOD_1h.parquet 400 1h 24/7 8,760 20" in words
    assert "BAD_1h.parquet refused" in words
    assert "BAD_1h.parquet: `close` of BAD must be finite and positive, got nan at" in words
    assert "calendar 24/7, inferred: 1" in words
    assert words.endswith("2 files, 1 refused.")


def test_a_pipe_gets_every_column(folder: Path) -> None:
    (folder / "GOOD_1h.parquet").rename(folder / f"{'GOOD' * 20}_1h.parquet")
    header = CliRunner().invoke(inspect, [str(folder)]).stdout.split("BAD")[0].split()
    names = ["calendar", "a", "year", "first", "last", "missing", "longest", "jumps"]
    assert [name for name in header if name in names] == names


def test_json_has_every_file(folder: Path) -> None:
    done = CliRunner().invoke(inspect, [str(folder), "--json"])
    assert done.exit_code == 1
    bad, good = json.loads(done.stdout)
    assert (bad["file"], good["file"]) == ("BAD_1h.parquet", "GOOD_1h.parquet")
    assert (good["error"], good["bars"], good["calendar"]) == (None, 400, "24/7")
    assert good["gaps"] == {"gaps": 0, "missing_bars": 0, "longest": 0}
    assert bad["error"].startswith("`close` of BAD")


def test_one_good_file_is_exit_status_0(folder: Path) -> None:
    done = CliRunner().invoke(inspect, [str(folder / "GOOD_1h.parquet"), "--calendar", "24/7"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--interval", "7x"], "`interval` must be a count and one of m, h, d, w"),
        (["--calendar", "equity"], "`calendar` equity was replaced"),
    ],
)
def test_a_wrong_option_is_exit_status_2(options: list[str], message: str, folder: Path) -> None:
    done = CliRunner().invoke(inspect, [str(folder), *options])
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_path_that_is_not_there_is_exit_status_2(tmp_path: Path) -> None:
    done = CliRunner().invoke(inspect, [str(tmp_path / "no")])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no file or folder" in done.stderr
