"""All three models through the whole path: trained, registered, traded, equal everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.sources import open_source
from tests import golden_run
from tests.golden_run import MODELS
from trainer.config import TrainConfig
from trainer.flavor import data_folder
from trainer.job import Job
from trainer.jobs.run_job import run_job

LAST = 300
DEEP = ("gru", "ppo")


@pytest.fixture(scope="module")
def every(make_workspace, tmp_path_factory):
    """All models of the real EURUSD bars, with other workers and caches than the stored run."""
    folder = tmp_path_factory.mktemp("every")
    place = make_workspace(folder, f"sqlite:///{folder}/mlflow.db")
    options = golden_run.train_options(max_workers="1", cache="off", fit_cache="off")
    done = place.run_as_users_do("-m", "trainer", "train", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def traded(every) -> dict[str, list[dict[str, object]]]:
    """The trader's decisions, by model."""

    def decide(model: str) -> list[dict[str, object]]:
        uri = f"models:/{model}-EURUSD@latest"
        done = every.trade("--model", uri, "--source", "sample", "--last", str(LAST), "--json")
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout)["decisions"])

    return {model: decide(model) for model in MODELS}


def test_models_metrics_and_decisions_are_those_of_the_stored_run(every, traded) -> None:
    golden = json.loads(golden_run.GOLDEN.read_text())
    observed = golden_run.observe(every.uri, traded)
    equal = golden.pop("environment") == observed.pop("environment")
    # Elsewhere, the last bits of a fit differ, and what follows from them.
    differ = golden_run.differences(golden, observed, tolerance=0.0 if equal else 0.05)
    assert not differ, "\n".join(differ[:20])


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_same_seed_gives_the_same_bytes_in_another_process(every, model: str, tmp_path) -> None:
    """A job in this process, with both caches: no worker, and other jobs before it."""
    values = {name.removeprefix("--").replace("-", "_"): v for name, v in golden_run.TRAIN.items()}
    folders = {"cache_folder": str(tmp_path / "c"), "fit_cache_folder": str(tmp_path / "f")}
    config = TrainConfig.parse({**values, **folders})
    result = run_job(Job("EURUSD", model), config, tmp_path / "job", lambda *_: None)
    assert result.trained is not None, result.details
    registered = data_folder(every.download(f"models:/{model}-EURUSD@latest"))
    # The manifest has the digest of every other file.
    for name in ("model.bin", "metrics.json", "manifest.json"):
        here = (result.trained.folder / name).read_bytes()
        assert here == (registered / name).read_bytes(), name


FOREIGN = """
import json, sys
import mlflow, pandas as pd
path, last, *names = sys.argv[1:]
bars = pd.read_parquet(path)
frames = {
    "aware": bars,
    "naive": bars.assign(timestamp=bars["timestamp"].dt.tz_localize(None)),
    "text": bars.assign(timestamp=bars["timestamp"].astype(str)),
    "shuffled columns": bars[["volume", "close", "open", "low", "high", "timestamp"]],
    "whole volumes": bars.assign(volume=bars["volume"].round().astype("int64")),
}
out = {}
for name in names:
    model = mlflow.pyfunc.load_model(f"models:/{name}-EURUSD@latest")
    out[name] = {
        kind: model.predict(frame, params={"last": int(last)}).to_dict("records")
        for kind, frame in frames.items()
    }
learners = [n for n in ("dask", "gymnasium", "stable_baselines3") if n in sys.modules]
torch = "torch" in sys.modules
import adapters
code = adapters.__file__
print(json.dumps({"decisions": out, "learners": learners, "torch": torch, "code": code}))
"""


@pytest.mark.slow
def test_a_foreign_consumer_decides_bit_for_bit_as_the_trader(
    every, traded, tmp_path: Path
) -> None:
    """Own requirements only, no barwright, no learner, empty folder, pickle forbidden."""
    needed = {
        m: (every.download(f"models:/{m}-EURUSD@latest") / "requirements.txt").read_text()
        for m in MODELS
    }
    for requirements in needed.values():
        assert not [line for line in requirements.split() if "+" in line]
        assert "stable" not in requirements
    assert "torch" not in needed["lightgbm"]
    assert needed["gru"] == needed["ppo"], "one environment serves both"

    venv.create(tmp_path / "venv")
    python = str(tmp_path / "venv" / "bin" / "python")
    empty = tmp_path / "empty"
    empty.mkdir()
    bars: pd.DataFrame = open_source("sample").read("EURUSD", "1h").frame
    bars.to_parquet(tmp_path / "bars.parquet")
    (tmp_path / "consumer.py").write_text(FOREIGN)

    def install(model: str) -> None:
        (tmp_path / "requirements.txt").write_text(needed[model])
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile"]
        subprocess.run([*pip, "-r", str(tmp_path / "requirements.txt")], check=True)

    def decide(*models: str) -> dict[str, Any]:
        done = subprocess.run(
            [
                python,
                str(tmp_path / "consumer.py"),
                str(tmp_path / "bars.parquet"),
                str(LAST),
                *models,
            ],
            cwd=empty,
            env={
                **{k: v for k, v in every.environment.items() if k != "PYTHONPATH"},
                "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = dict(json.loads(done.stdout.splitlines()[-1]))
        assert answer["learners"] == []
        assert "/code/barwright_code.zip/adapters/" in answer["code"], (
            "the code that ran must be the model's own"
        )
        for model in models:
            decided = answer["decisions"][model]
            # When a bar is complete and can be filled is said by the trader only.
            times = ("complete_at", "fill_at")
            expected = [{k: v for k, v in one.items() if k not in times} for one in traded[model]]
            for kind in ("aware", "naive", "text", "shuffled columns"):
                assert decided[kind] == expected, (model, kind)
            assert len(decided["whole volumes"]) == LAST
        return answer

    install("lightgbm")
    assert decide("lightgbm")["torch"] is False
    install("gru")
    decide(*DEEP)


def test_curves_trials_and_native_figures_are_logged(every) -> None:
    runs = {r.data.params["model"]: r for r in every.runs() if r.data.tags["kind"] == "candidate"}
    for model in DEEP:
        run = runs[model]
        curve = every.client.get_metric_history(run.info.run_id, "fold/0/stopping_curve")
        steps = [metric.step for metric in curve]
        assert steps[0] == 0
        assert 1 < len(steps) <= 25
        assert steps == sorted(set(steps))
        assert run.data.params["trials"] == "1"
    assert "wf_native_net_return" in runs["ppo"].data.metrics
    assert "wf_native_net_return" not in runs["gru"].data.metrics
    assert len({run.data.params["walk_forward_plan"] for run in runs.values()}) == 1


def test_models_are_safetensors_and_hold_no_pickle(every) -> None:
    for model in DEEP:
        folder = every.download(f"models:/{model}-EURUSD@latest")
        content = (data_folder(folder) / "model.bin").read_bytes()
        assert content[8:9] == b"{", "a safetensors file begins with its header"
        assert b"torch._utils" not in content
        names = [path.name for path in folder.rglob("*")]
        names.remove("barwright_code.zip")
        names += zipfile.ZipFile(folder / "code" / "barwright_code.zip").namelist()
        assert not [name for name in names if name.endswith((".pkl", ".zip", ".pt", ".pth"))]


#: Rooms that only training and promotion need, and libraries that a LightGBM model does not.
#: scikit-learn is not among them: `lightgbm` itself imports it.
NOT_FOR_TRADING = (
    "cli", "trainer.config", "trainer.evidence", "trainer.jobs", "trainer.procedure",
    "trainer.registry", "trainer.report", "trainer.tracking.mlflow_runs", "trainer.tracking.trials",
    "arch", "dask", "distributed", "gymnasium", "jinja2", "matplotlib", "safetensors",
    "stable_baselines3", "torch",
)  # fmt: skip
TRADE = """
import sys
import trader
trader.decide("models:/lightgbm-EURUSD@latest", "sample", last=1)
print(*sys.modules, sep="\\n")
"""


def test_a_lightgbm_trader_imports_nothing_that_trains_or_reports(trained) -> None:
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}){TRADE}"
    done = trained.run("-c", script)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"trainer.flavor", "trainer.serving.trading_model", "lightgbm"} <= loaded
    assert loaded & set(NOT_FOR_TRADING) == set()
