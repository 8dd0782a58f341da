"""Verification in a fresh process: it passes, or the error has the reason in one line."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest

from features.bars import validate_bars
from features.interval import Interval
from trainer.errors import TrainerError
from trainer.flavor import log_model
from trainer.registry import verify
from trainer.registry.verify import Verifier
from trainer.serving.calibrators import PlattCalibrator
from trainer.serving.holding_rules import Exit
from trainer.serving.manifest import MANIFEST, golden_frame
from trainer.serving.trading_model import TradingModel

STORED = Path(__file__).resolve().parents[2] / "data" / "model_format_2"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@contextmanager
def opened(uri: str, *arguments: Any) -> Iterator[Verifier]:
    """A verifier of the candidates of a store."""
    with Verifier(*arguments) as verifier:
        verifier.open(uri)
        yield verifier


@pytest.fixture
def logged(registry_store: Any) -> str:
    """URI of a logged model."""
    # The artifacts of the default experiment are not in the folder of the test.
    with mlflow.start_run(experiment_id=registry_store.client.create_experiment("e")):
        return str(log_model(STORED, "m", requirements=("lightgbm",)).model_uri)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``command(code)``: let the verifier's processes run this code instead of the real one."""
    real = verify.subprocess.Popen

    def replace(code: str) -> None:
        def start(arguments: list[str], **options: Any) -> Any:
            return real([sys.executable, "-c", code, *arguments[3:]], **options)

        monkeypatch.setattr(verify.subprocess, "Popen", start)

    return replace


def test_candidates_are_verified_one_after_the_other_and_no_process_is_left(
    registry_store: Any, logged: str
) -> None:
    before = psutil.Process().children()
    with opened(registry_store.uri, ENVIRONMENT, ["lightgbm"]) as verifier:
        process = verifier._process
        assert process is not None, "it starts before it is needed"
        verifier.verify(logged)
        with pytest.raises(TrainerError, match="does not pass verification"):
            verifier.verify("models:/m-of-nobody")
        verifier.verify(logged)
        assert verifier._process is process, "a candidate that does not pass ends its fork only"
    assert process.returncode == -signal.SIGKILL
    assert psutil.Process().children() == before


def test_the_process_that_forks_has_one_thread_and_opens_no_store(
    registry_store: Any, logged: str
) -> None:
    with opened(registry_store.uri, ENVIRONMENT, ["lightgbm"]) as verifier:
        verifier.verify(logged)
        assert verifier._process is not None
        pid = verifier._process.pid
        threads = {path.read_text().strip() for path in Path(f"/proc/{pid}/task").glob("*/comm")}
        # The allocator of pyarrow has a thread of its own, and is made for forks.
        assert len(threads - {"jemalloc_bg_thd"}) == 1
        assert not [file for file in psutil.Process(pid).open_files() if ".db" in file.path]


@pytest.mark.parametrize(("entry", "held"), [(0.99, 0), (0.6, None)])
def test_a_candidate_that_never_tells_what_it_holds_passes_with_what_it_held(
    registry_store: Any, tmp_path: Path, entry: float, held: int | None
) -> None:
    """All its probabilities are about 0.601: it never enters, or its bars tell what it holds."""
    model = replace(
        TradingModel.load(STORED),
        calibrator=PlattCalibrator(0.001, 0.41),
        threshold=Exit(entry),
    )
    frame = golden_frame(json.loads((STORED / MANIFEST).read_text()))
    interval = Interval.parse(model.contract.interval)
    bars = validate_bars(frame, symbol="S", interval=interval, calendar=model.calendar)
    model.save(tmp_path / "m", bars=bars, metrics={}, config={})
    stored = json.loads((tmp_path / "m" / MANIFEST).read_text())
    assert stored["golden"].get("held") == held
    with mlflow.start_run(experiment_id=registry_store.client.create_experiment("e")):
        uri = log_model(tmp_path / "m", "m", requirements=("lightgbm",)).model_uri
    with opened(registry_store.uri, ENVIRONMENT, ["lightgbm"]) as verifier:
        verifier.verify(uri)


def test_an_altered_candidate_does_not_pass(registry_store: Any, logged: str) -> None:
    for path in registry_store.folder.rglob("calibrator.json"):
        stored = json.loads(path.read_text())
        path.write_text(json.dumps({**stored, "threshold": {"value": 0.9, "allow_short": True}}))
    with (
        opened(registry_store.uri, ENVIRONMENT) as verifier,
        pytest.raises(TrainerError) as error,
    ):
        verifier.verify(logged)
    assert str(error.value).startswith(f"the candidate {logged} does not pass verification: ")
    assert "calibrator.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_positions_that_mlflow_serves_must_be_those_of_the_model(
    registry_store: Any, logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify._verify(registry_store.uri, logged)
    predict = mlflow.pyfunc.PyFuncModel.predict

    def late(*arguments: Any, **options: Any) -> Any:
        decided = predict(*arguments, **options)
        return decided.assign(position=-decided["position"])

    monkeypatch.setattr(mlflow.pyfunc.PyFuncModel, "predict", late)
    with pytest.raises(TrainerError, match=r"served positions \[.*\] are not the golden \["):
        verify._verify(registry_store.uri, logged)


def test_the_processes_may_not_read_pickle_and_get_the_names_of_the_adapters(
    command: Any, tmp_path: Path
) -> None:
    written = tmp_path / "environment.json"
    command(
        "import json, os, sys; lines = [sys.stdin.readline(), sys.stdin.readline()]; "
        f"json.dump([lines, sys.argv[1:], dict(os.environ)], open({str(written)!r}, 'w')); "
        """print('""')"""
    )
    given = {**ENVIRONMENT, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true", "MLFLOW_RUN_ID": "r"}
    with opened("sqlite:///x.db", given, ["gru", "ppo"]) as verifier:
        verifier.verify("models:/m-1")
    lines, models, environment = json.loads(written.read_text())
    assert (lines, models) == (["sqlite:///x.db\n", "models:/m-1\n"], ["gru", "ppo"])
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert environment["MLFLOW_RUN_ID"] == ""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit(3)", "exit status 3"),
        ("sys.exit('first\\n\\nlast line\\n')", "last line"),
        ("sys.exit('GET http://me:secret@h')", r"GET http://me:\*{3}@h"),
        # The fork of a candidate ends; the process that started it does not.
        ("""print('"exit status -11"')""", "exit status -11"),
    ],
)
def test_the_reason_is_the_last_line_or_the_exit_status(
    command: Any, code: str, reason: str
) -> None:
    command(f"import sys; sys.stdin.readline(); sys.stdin.readline(); {code}")
    with (
        opened("sqlite:///x.db", ENVIRONMENT) as verifier,
        pytest.raises(TrainerError, match=f"does not pass verification: {reason}$"),
    ):
        verifier.verify("models:/m-1")


def test_a_process_that_does_not_answer_is_killed_and_the_next_candidate_has_another(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = psutil.Process().children()
    command("import time; time.sleep(600)")
    monkeypatch.setattr(verify, "_TIMEOUT_SECONDS", 0.5)
    began = time.monotonic()
    with opened("sqlite:///x.db", ENVIRONMENT) as verifier:
        with pytest.raises(
            TrainerError, match=r"does not pass verification: no answer within 0\.5 s"
        ):
            verifier.verify("models:/m-1")
        monkeypatch.setattr(verify, "_TIMEOUT_SECONDS", 60)
        command("""import sys; print('"" ' if 'x.db' in sys.stdin.readline() else '"?"')""")
        verifier.verify("models:/m-2")
    assert time.monotonic() - began < 60
    assert psutil.Process().children() == before
