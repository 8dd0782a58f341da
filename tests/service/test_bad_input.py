"""Bad input: one clear error, the right exit status, nothing registered, no run left RUNNING."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.sources import open_source


def _bars() -> pd.DataFrame:
    return open_source("sample").read("EURUSD", "1h").frame.iloc[:1500].reset_index(drop=True)


def _broken(kind: str) -> pd.DataFrame:
    bars = _bars()
    if kind == "unsorted":
        bars = pd.concat([bars[700:], bars[:700]])
    elif kind == "duplicate":
        bars = pd.concat([bars[:500], bars[499:]])
    elif kind == "nan":
        bars.loc[321, "close"] = np.nan
    elif kind == "high_below_low":
        bars.loc[321, "high"] = bars.loc[321, "low"] * 0.9
    elif kind == "negative":
        bars.loc[321, "low"] = -1.0
    elif kind == "few":
        bars = bars[:420]
    return bars


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--symbols", "EURUSD", "--models", "lightgbmm"], "did you mean 'lightgbm'?"),
        (["--symbols", "EURUSD", "--n-splits", "1"], "`--n-splits` must be greater than or equal"),
        (["--symbols", "EURUSD", "--fee-bps", "-1"], "`--fee-bps` must be greater than or equal"),
        (["--symbols", "EURUSD", "--fee-bps", "abc"], "`--fee-bps` must be a number"),
        (["--symbols", "../../x"], "got '../../x'"),
        ([], "`--symbols` must be given"),
        (["--symbols", "EURUSD", "--cache", "maybe"], "`--cache` must be on or off"),
        (["--symbols", "EURUSD", "--params", "lightgbm.num_leafs=3"], "did you mean"),
        (["--symbols", "EURUSD", "--source", "http://example.org"], "`source` must be a folder"),
        (["--symbols", "EURUSD", "--interval", "1x"], "`interval` must be a count"),
        (["--symbols", "EURUSD", "--features", "nowhere.yaml"], "cannot be read"),
        (["--symbols", "EURUSD", "--embargoo", "3"], "No such option"),
    ],
)
def test_wrong_usage_exits_2_before_anything_is_written(
    empty_workspace, arguments: list[str], text: str
) -> None:
    done = empty_workspace.train("--source", "sample", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert list(empty_workspace.folder.iterdir()) == []


#: Kind of bad bars, and the text that its error must contain.
BAD = {
    "unsorted": "strictly increasing",
    "duplicate": "is duplicate",
    "nan": "`close` of nan must be finite and positive, got nan",
    "high_below_low": "breaks high >= max(open, close)",
    "negative": "`low` of negative must be finite and positive, got -1",
    "few": "`embargo` must be smaller than the shortest fold",
    "empty": "it is empty",
    "absent": "no bars of absent at 1h",
}


def test_a_symbol_with_bad_bars_fails_with_its_reason_and_the_others_go_on(workspace) -> None:
    bars = workspace.folder / "bars"
    bars.mkdir()
    _bars().to_parquet(bars / "good_1h.parquet")
    (bars / "empty_1h.csv").touch()
    for kind in set(BAD) - {"empty", "absent"}:
        _broken(kind).to_parquet(bars / f"{kind}_1h.parquet")
    done = workspace.train(
        "--symbols", ",".join([*BAD, "good"]), "--source", "bars",
        "--n-splits", "2", "--wf-splits", "2", "--embargo", "60", "--max-workers", "2",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    notes = {
        name: (run.info.status, run.data.tags.get("mlflow.note.content", ""))
        for name, run in workspace.jobs.items()
    }
    for kind, text in BAD.items():
        status, note = notes[f"lightgbm-{kind}"]
        assert (status, text in note) == ("FAILED", True), note
        assert text in " ".join(done.stdout.split())
        assert workspace.versions(f"lightgbm-{kind}") == []
    assert workspace.versions("lightgbm-good") == ["1"]
    assert notes["lightgbm-good"][0] == "FINISHED"
    assert "RUNNING" not in {run.info.status for run in workspace.runs()}


def test_an_unwritable_feature_cache_is_an_error_of_the_job(workspace) -> None:
    (workspace.folder / "file").write_text("a file is no folder")
    done = workspace.train_quickly("--cache-folder", "file/cache")
    assert done.returncode == 1
    assert "cannot be written" in " ".join(done.stdout.split())
    assert "give a writable folder as --cache-folder" in " ".join(done.stdout.split())
    assert workspace.versions("lightgbm-EURUSD") == []


def test_a_fit_cache_that_cannot_be_used_is_one_line_before_anything_is_done(workspace) -> None:
    (workspace.folder / "file").write_text("a file is no folder")
    done = workspace.train_quickly("--fit-cache-folder", "file/cache")
    assert (done.returncode, workspace.runs()) == (1, [])
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: the fit cache 'file/cache' cannot be made: ")
    assert line.endswith("/file' is no folder; give another --fit-cache-folder, or --fit-cache off")


def test_an_unreachable_server_is_an_error_within_seconds(empty_workspace) -> None:
    done = empty_workspace.train(
        "--symbols", "EURUSD", "--source", "sample", MLFLOW_TRACKING_URI="http://127.0.0.1:9"
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr
    traded = empty_workspace.trade(
        "--model", "models:/x@latest", MLFLOW_TRACKING_URI="http://127.0.0.1:9"
    )
    assert traded.returncode == 1
    assert "cannot be reached" in traded.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--model", "models:/nobody-X@latest", "--source", "sample"], 1, "cannot be loaded"),
        (["--model", "models:/lightgbm-EURUSD@latest", "--source", "nowhere"], 1, "not a folder"),
        (["--model", "models:/lightgbm-EURUSD@latest", "--last", "0"], 2, "--last"),
        (
            ["--model", "models:/lightgbm-EURUSD@latest", "--source", "sample", "--interval", "1d"],
            1,
            "decides on EURUSD at 1h",
        ),
        (
            ["--model", "models:/lightgbm-EURUSD@latest", "--source", "sample", "--last", "9999"],
            1,
            "needs at least",
        ),
        (["--source", "sample"], 2, "--model"),
    ],
)
def test_trader_refuses_a_request_that_it_cannot_answer(
    trained, arguments: list[str], status: int, text: str
) -> None:
    done = trained.trade(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_mlflow_run_with_a_bad_value_fails_and_leaves_nothing_running(workspace) -> None:
    root = Path(__file__).resolve().parents[2]
    tools = Path(sys.executable).parent
    done = workspace.run(
        "-m", "mlflow", "run", str(root), "--env-manager", "local",
        "--experiment-name", "barwright",
        "-P", "symbols=EURUSD", "-P", "source=sample", "-P", "fee_bps=abc",
        PATH=f"{tools}:{workspace.environment['PATH']}",
        MLFLOW_LOGGING_LEVEL="WARNING",
    )  # fmt: skip
    assert done.returncode == 1
    # Nothing but the error, and then MLflow's own line on it.
    ours, of_mlflow = done.stderr.splitlines()
    assert ours.startswith("Error: `--fee-bps` must be a number")
    assert re.search(r"ERROR mlflow.cli: === Run \(ID '\w+'\) failed ===$", of_mlflow)
    assert [run.info.status for run in workspace.runs()] == ["FAILED"]
    assert workspace.client.search_registered_models() == []


@pytest.mark.parametrize("kind", ["corrupt", "directory", "locked out"])
def test_a_store_that_cannot_be_used_is_one_line(empty_workspace, kind: str) -> None:
    path = empty_workspace.folder / "mlflow.db"
    uri = empty_workspace.uri
    if kind == "corrupt":
        path.write_bytes(b"no database" * 1_000)
    elif kind == "directory":
        path.mkdir()
    else:
        uri = "postgresql+psycopg://nobody:secret@127.0.0.1:9/none"
    for done in (
        empty_workspace.train("--symbols", "EURUSD", "--source", "sample", MLFLOW_TRACKING_URI=uri),
        empty_workspace.trade("--model", "models:/x@latest", MLFLOW_TRACKING_URI=uri),
    ):
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "compare --symbols EURUSD",
        "audit --source sample --rows 9",
        "trade --model models:/lightgbm-EURUSD@latest --source sample",
    ],
)
def test_output_that_cannot_be_written_is_one_line(trained, command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trainer", *command.split()],
            cwd=trained.folder, env=trained.environment, check=False,
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the output cannot be written: No space left on device;")
    assert len(done.stderr.splitlines()) == 1


def test_the_trader_creates_no_database(empty_workspace) -> None:
    done = empty_workspace.trade("--model", "models:/x@latest", "--source", "sample")
    assert done.returncode == 1
    assert "there is no MLflow database" in done.stderr
    assert list(empty_workspace.folder.iterdir()) == []


def test_a_file_in_the_place_of_the_artefact_folder_is_found_before_the_first_fit(
    workspace,
) -> None:
    (workspace.folder / "mlruns").touch()
    done = workspace.train(
        "--symbols", "EURUSD,NONE", "--source", "sample", "--n-splits", "2", "--wf-splits", "2"
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    place = re.escape(f"{workspace.folder}/mlruns/")
    assert re.match(
        rf"Error: the artifact store {place}\d of MLflow at sqlite:///.* cannot be written: ", line
    )
    assert not (workspace.folder / "data").exists(), "no job may have started"
    (parent,) = workspace.runs()
    assert parent.info.status == "FAILED"
    assert line == f"Error: {parent.data.tags['mlflow.note.content']}"


def test_what_a_server_cannot_keep_files_in_is_found_before_the_first_fit(workspace, serve) -> None:
    """The server answers, but what it was told to keep files in is a file."""
    (workspace.folder / "files").touch()
    tools = Path(sys.executable).parent
    address = serve(
        [
            str(tools / "mlflow"), "server", "--backend-store-uri", workspace.uri,
            "--artifacts-destination", str(workspace.folder / "files"), "--workers", "1",
        ],
        {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true"},
        "/health",
    )  # fmt: skip
    place = address.replace("://", "://me:secret@")
    done = workspace.train(
        "--symbols", "EURUSD", "--source", "sample",
        MLFLOW_TRACKING_URI=place, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    start = f"Error: the artifact store mlflow-artifacts:/1 of MLflow at {address} cannot be"
    assert line.startswith(start.replace("://", "://me:***@"))
    assert "secret" not in line
    assert [run.info.status for run in workspace.runs()] == ["FAILED"]
