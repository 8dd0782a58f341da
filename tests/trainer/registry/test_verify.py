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


def test_a_sound_candidate_passes_and_leaves_no_process(registry_store: Any, logged: str) -> None:
    before = psutil.Process().children()
    with opened(registry_store.uri, ENVIRONMENT, 2, ["lightgbm"]) as verifier:
        waiting = verifier._waiting
        assert waiting is not None, "the first process is started before it is needed"
        verifier.verify(logged)
        assert waiting.returncode == 0
        following = verifier._waiting
        assert following is not None
    assert following.returncode == -signal.SIGKILL, "a process without a candidate ends"
    assert psutil.Process().children() == before


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
    with opened(registry_store.uri, ENVIRONMENT, 1, ["lightgbm"]) as verifier:
        verifier.verify(uri)


def test_an_altered_candidate_does_not_pass(registry_store: Any, logged: str) -> None:
    for path in registry_store.folder.rglob("calibrator.json"):
        stored = json.loads(path.read_text())
        path.write_text(json.dumps({**stored, "threshold": {"value": 0.9, "allow_short": True}}))
    with (
        opened(registry_store.uri, ENVIRONMENT, 0) as verifier,
        pytest.raises(TrainerError) as error,
    ):
        verifier.verify(logged)
    assert str(error.value).startswith(f"the candidate {logged} does not pass verification: ")
    assert "calibrator.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_processes_may_not_read_pickle_and_get_the_names_of_the_adapters(
    command: Any, tmp_path: Path
) -> None:
    written = tmp_path / "environment.json"
    command(
        "import json, os, sys; uri = sys.stdin.read(); "
        f"json.dump([uri, sys.argv[1:], dict(os.environ)], open({str(written)!r}, 'w'))"
    )
    given = {**ENVIRONMENT, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true", "MLFLOW_RUN_ID": "r"}
    with opened("sqlite:///x.db", given, 1, ["gru", "ppo"]) as verifier:
        verifier.verify("models:/m-1")
    lines, models, environment = json.loads(written.read_text())
    assert (lines.split(), models) == (["sqlite:///x.db", "models:/m-1"], ["gru", "ppo"])
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert environment["MLFLOW_RUN_ID"] == ""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.stdin.read(); sys.exit(3)", "exit status 3"),
        ("import sys; sys.stdin.read(); sys.exit('first\\n\\nlast line\\n')", "last line"),
        (
            "import sys; sys.stdin.read(); sys.exit('GET http://me:secret@h')",
            r"GET http://me:\*{3}@h",
        ),
    ],
)
def test_the_reason_is_the_last_line_or_the_exit_status(
    command: Any, code: str, reason: str
) -> None:
    command(code)
    with (
        opened("sqlite:///x.db", ENVIRONMENT, 1) as verifier,
        pytest.raises(TrainerError, match=f"does not pass verification: {reason}$"),
    ):
        verifier.verify("models:/m-1")


def test_a_process_that_does_not_answer_is_killed(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("import time; time.sleep(600)")
    monkeypatch.setattr(verify, "_TIMEOUT_SECONDS", 0.5)
    began = time.monotonic()
    with (
        opened("sqlite:///x.db", ENVIRONMENT, 1) as verifier,
        pytest.raises(TrainerError, match=r"does not pass verification: no answer within 0\.5 s"),
    ):
        verifier.verify("models:/m-1")
    assert time.monotonic() - began < 60


def test_no_more_processes_are_started_than_candidates_are_expected(command: Any) -> None:
    before = psutil.Process().children()
    command("import sys; sys.stdin.read()")
    with opened("sqlite:///x.db", ENVIRONMENT, 1) as verifier:
        verifier.verify("models:/m-1")
        assert verifier._waiting is None
        verifier.verify("models:/m-2")  # one more is started on demand
    assert psutil.Process().children() == before
