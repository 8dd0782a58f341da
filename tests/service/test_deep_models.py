"""GRU and PPO through the whole path: trained, registered, traded, served, and equal everywhere."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path

import pandas as pd
import pytest

from features.sources import open_source
from trainer.flavor import data_folder

LAST = 300
MODELS = ("gru", "ppo")
#: Small fits: what is tested here is the path, not the skill.
SMALL = (
    "gru.hidden=8,gru.max_epochs=2,gru.lookback=12,gru.chunk=48,"
    "ppo.timesteps=8192,ppo.n_envs=64,ppo.n_steps=32,ppo.batch_size=512,ppo.hidden=8"
)
SPLITS = ("--n-splits", "2", "--wf-splits", "2", "--horizon", "3")
FREE = ("--fee-bps", "0", "--slippage-bps", "0")


def train(place, symbols: str, source: str, *more: str) -> subprocess.CompletedProcess[str]:
    done = place.train(
        "--symbols", symbols, "--source", source, "--models", ",".join(MODELS),
        "--params", SMALL, *SPLITS, *FREE, *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def deep(make_workspace, tmp_path_factory):
    """Both models of the real EURUSD bars."""
    folder = tmp_path_factory.mktemp("deep")
    place = make_workspace(folder, f"sqlite:///{folder}/mlflow.db")
    train(place, "EURUSD", "sample")
    return place


def traded(place, model: str) -> list[dict[str, object]]:
    uri = f"models:/{model}-EURUSD@latest"
    done = place.trade("--model", uri, "--source", "sample", "--last", str(LAST), "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["decisions"])


FOREIGN = """
import json, sys
import mlflow, pandas as pd
bars = pd.read_parquet(sys.argv[1])
out = {}
for name in ("gru", "ppo"):
    model = mlflow.pyfunc.load_model(f"models:/{name}-EURUSD@latest")
    out[name] = model.predict(bars, params={"last": int(sys.argv[2])}).to_dict("records")
loaded = [n for n in ("lightgbm", "dask", "gymnasium", "stable_baselines3") if n in sys.modules]
import adapters
print(json.dumps({"decisions": out, "loaded": loaded, "code": adapters.__file__}))
"""


@pytest.mark.slow
def test_a_foreign_consumer_decides_as_the_trader(deep, tmp_path: Path) -> None:
    """Own requirements only, no barwright, no learner, empty folder, pickle forbidden."""
    needed = {
        (deep.download(f"models:/{m}-EURUSD@latest") / "requirements.txt").read_text()
        for m in MODELS
    }
    (requirements,) = needed  # both need torch and safetensors, and nothing to learn with
    assert not [line for line in requirements.split() if "+" in line]
    assert "stable" not in requirements
    (tmp_path / "requirements.txt").write_text(requirements)
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "-r", str(tmp_path / "requirements.txt")]
    subprocess.run(pip, check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    bars: pd.DataFrame = open_source("sample").read("EURUSD", "1h").frame
    bars.to_parquet(tmp_path / "bars.parquet")
    (tmp_path / "consumer.py").write_text(FOREIGN)
    done = subprocess.run(
        [python, str(tmp_path / "consumer.py"), str(tmp_path / "bars.parquet"), str(LAST)],
        cwd=empty,
        env={
            **{k: v for k, v in deep.environment.items() if k != "PYTHONPATH"},
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["loaded"] == []
    assert "/code/adapters/" in answer["code"], "the code that ran must be the model's own"
    for model in MODELS:
        assert answer["decisions"][model] == traded(deep, model), model


def test_curves_trials_and_native_figures_are_logged(deep) -> None:
    runs = {r.data.params["model"]: r for r in deep.runs() if r.data.tags["kind"] == "candidate"}
    for model in MODELS:
        run = runs[model]
        curve = deep.client.get_metric_history(run.info.run_id, "fold/0/stopping_curve")
        assert [metric.step for metric in curve] == list(range(len(curve)))
        assert len(curve) > 1
        assert run.data.params["trials"] == "1"
    assert "wf_native_net_return" in runs["ppo"].data.metrics
    assert "wf_native_net_return" not in runs["gru"].data.metrics
    assert len({run.data.params["walk_forward_plan"] for run in runs.values()}) == 1


def test_models_are_safetensors_and_hold_no_pickle(deep) -> None:
    for model in MODELS:
        folder = deep.download(f"models:/{model}-EURUSD@latest")
        content = (data_folder(folder) / "model.bin").read_bytes()
        assert content[8:9] == b"{", "a safetensors file begins with its header"
        assert b"torch._utils" not in content
        assert not [p for p in folder.rglob("*") if p.suffix in (".pkl", ".zip", ".pt", ".pth")]


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_whatever_the_workers(workspace, two_symbols) -> None:
    found = []
    for workers in ("1", "2"):
        options = ("--max-workers", workers, "--fit-cache", "off")
        train(workspace, "FIRST", str(two_symbols), *options)
        folders = [data_folder(workspace.download(f"models:/{m}-FIRST@latest")) for m in MODELS]
        found.append([(f / n).read_bytes() for f in folders for n in ("model.bin", "metrics.json")])
    assert found[0] == found[1]
    assert workspace.versions("gru-FIRST") == ["1", "2"]


TRADE = """
import trader
trader.decide("models:/lightgbm-EURUSD@latest", "sample", last=1)
print([m for m in ("torch", "stable_baselines3", "safetensors") if m in sys.modules])
"""


def test_a_lightgbm_trader_imports_no_torch(trained) -> None:
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}){TRADE}"
    done = trained.run("-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
