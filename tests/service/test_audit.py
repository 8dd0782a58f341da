"""The command `audit` as users run it, with a real plug-in on the path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

PLUG_IN = Path(__file__).resolve().parents[1] / "data" / "broken_features"
AUDIT = ("-m", "trainer", "audit")
SAMPLE = ("--source", "sample", "--rows", "30")


def test_after_a_clean_audit_the_next_step_is_the_training_command(
    make_workspace: Callable, tmp_path: Path
) -> None:
    done = make_workspace(tmp_path, "sqlite:///mlflow.db").run(*AUDIT, *SAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "All 54 features satisfy all laws on EURUSD." in done.stdout
    assert done.stdout.endswith("Next:\n  barwright train --symbols EURUSD --source sample\n")
    assert list(tmp_path.iterdir()) == []  # nothing is stored, and no MLflow store is opened


def test_a_plug_in_is_audited_too(make_workspace: Callable, tmp_path: Path) -> None:
    place = make_workspace(tmp_path, "sqlite:///mlflow.db")
    chosen = tmp_path / "mine.yaml"
    chosen.write_text("groups: [time, acme]\n")
    options = (*AUDIT, *SAMPLE, "--features", str(chosen))
    done = place.run(*options, PYTHONPATH=str(PLUG_IN))
    assert (done.returncode, done.stderr) == (1, "")
    assert "5 of 9 features break a law on EURUSD: price, centred, backfilled" in done.stdout

    done = place.run(*options, "--json", PYTHONPATH=str(PLUG_IN))
    assert (done.returncode, done.stderr) == (1, "")
    answer = json.loads(done.stdout)
    (symbol,) = answer["symbols"]
    assert not answer["ok"]
    assert {f["feature"]: [b["law"] for b in f["broken"]] for f in symbol["features"]} == {
        **{name: [] for name in ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")},
        "price": ["level"],
        "centred": ["prefix", "future"],
        "backfilled": ["prefix", "future"],
        "z_of_all": ["prefix", "future"],
        "forgetful": ["start"],
    }


def test_every_symbol_of_a_folder_is_audited(
    make_workspace: Callable, two_symbols: Path, tmp_path: Path
) -> None:
    chosen = tmp_path / "mine.yaml"
    chosen.write_text("groups: [returns, time]\n")
    options = ("--source", str(two_symbols), "--rows", "30", "--features", str(chosen))
    place = make_workspace(tmp_path, "sqlite:///mlflow.db")
    # MLproject passes an empty text for a parameter that was not given.
    done = place.run(*AUDIT, *options, "--symbols", "", "--interval", "")
    assert (done.returncode, done.stderr) == (0, "")
    assert "All 13 features satisfy all laws on FIRST, SECOND." in done.stdout
    assert (
        f"barwright train --symbols FIRST,SECOND --source {two_symbols} --features" in done.stdout
    )
    # If the bars of one symbol cannot be read, the others are audited all the same.
    done = place.run(*AUDIT, *options, "--symbols", "THIRD,SECOND")
    assert done.returncode == 1
    assert "THIRD" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "All 13 features satisfy all laws on SECOND." in done.stdout
    assert f"barwright train --symbols SECOND --source {two_symbols}" in done.stdout
    done = place.run(*AUDIT, *options, "--symbols", "SECOND,THIRD", "--json")
    answer = json.loads(done.stdout)
    assert [symbol["symbol"] for symbol in answer["symbols"]] == ["SECOND"]
    assert (answer["ok"], list(answer["failed"])) == (False, ["THIRD"])


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (("--source", "nowhere"), 2, "Error: `source` is not a folder: 'nowhere'; give a folder"),
        (("--source", "sample", "--interval", "7x"), 2, "Error: `interval` must be a count and"),
        (("--source", "sample", "--interval", "5m"), 2, "Error: `source` has no bars at 5m; "),
        (("--source", "sample", "--symbols", "a/b"), 2, "Error: `symbols` must be letters, digits"),
        (("--source", "sample", "--features", "no.yaml"), 2, "Error: `features` file 'no.yaml' ca"),
        (("--source", "sample", "--rows", "-1"), 2, "Invalid value for '--rows': -1 is not in the"),
        (("--source", "sample", "--symbols", "XYZ"), 1, "Error: the sample has no XYZ at 1h, only"),
    ],
)
def test_a_mistake_is_one_error_and_an_exit_status(
    options: tuple[str, ...], status: int, text: str, make_workspace: Callable, tmp_path: Path
) -> None:
    done = make_workspace(tmp_path, "sqlite:///mlflow.db").run(*AUDIT, *options)
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
