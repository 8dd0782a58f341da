"""Every path on which a caller gets the decisions of a saved model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import requests

from features.bars import Bars
from scripts.server import serve
from trainer.arrays import IntArray
from trainer.flavor import save_model
from trainer.serving.trading_model import TradingModel

_ROOT = Path(__file__).resolve().parent.parent
#: Bars before a decision that a caller of a rule that holds positions gives.
_HISTORY = 5_000


def decide_on_every_path(
    model: TradingModel, source: str, bars: Bars, decided: IntArray, *, processes: bool
) -> dict[str, pd.DataFrame]:
    """Return the decisions of a model by path; each covers at least the decided bars.

    Parameters
    ----------
    model : TradingModel
    source : str
        Source of the bars, as ``trader.py --source`` takes it.
    bars : Bars
        All bars of that source.
    decided : int64 array of shape (m,)
        Indices of the bars to decide, in increasing order.
    processes : bool
        Whether the trader and MLflow's server decide, too; each is a process of its own.
    """
    frame = bars.to_frame()
    last = len(frame) - int(decided[0])
    with tempfile.TemporaryDirectory() as temporary:
        saved, pyfunc = Path(temporary) / "model", Path(temporary) / "pyfunc"
        model.save(saved, bars=bars, metrics={}, config={})
        loaded = TradingModel.load(saved)
        save_model(saved, pyfunc, requirements=("numpy",))
        in_process = mlflow.pyfunc.load_model(str(pyfunc), suppress_warnings=True)
        paths = {
            "saved model, all bars at once": loaded.decide(frame),
            "saved model, bar by bar": _decide_bar_by_bar(loaded, frame, decided),
            "MLflow pyfunc": in_process.predict(frame, params={"last": last}),
        }
        if processes:
            paths["trader.py, a process of its own"] = _trade(pyfunc, source, last)
            paths["MLflow server, over HTTP"] = _request(model, pyfunc, frame, last)
    return paths


def _decide_bar_by_bar(model: TradingModel, frame: pd.DataFrame, decided: IntArray) -> pd.DataFrame:
    # A rule that holds positions looks back until the bars tell what is held.
    need = model.required_bars + (_HISTORY if model.threshold.holds else model.threshold.memory)
    return pd.concat(
        [model.decide(frame.iloc[max(bar + 1 - need, 0) : bar + 1], last=1) for bar in decided],
        ignore_index=True,
    )


def _trade(pyfunc: Path, source: str, last: int) -> pd.DataFrame:
    words = ["--model", str(pyfunc), "--source", source, "--last", str(last), "--json"]
    done = subprocess.run(
        [sys.executable, str(_ROOT / "trader.py"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"trader.py failed: {done.stderr}")
    return pd.DataFrame(json.loads(done.stdout)["decisions"])


def _request(model: TradingModel, pyfunc: Path, frame: pd.DataFrame, last: int) -> pd.DataFrame:
    """Return what MLflow's server answers to one request with the bars that it needs."""
    need = last + model.required_bars + _HISTORY
    table = frame.tail(need).assign(timestamp=lambda bars: bars["timestamp"].astype(str))
    body: dict[str, Any] = {
        "dataframe_split": table.to_dict("split", index=False),
        "params": {"last": last},
    }
    tools = Path(sys.executable).parent
    command = [str(tools / "mlflow"), "models", "serve", "-m", str(pyfunc)]
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "MLFLOW_MODELS_WORKERS": "1",
    }
    log = pyfunc.parent / "server.log"
    with serve([*command, "--env-manager", "local"], environment, "/ping", log) as address:
        answer = requests.post(f"{address}/invocations", json=body, timeout=600)
    if not answer.ok:
        raise RuntimeError(f"the server refused: {answer.text}")
    return pd.DataFrame(answer.json()["predictions"])
