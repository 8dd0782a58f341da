"""Models stored by earlier versions must always load: tests/data/model_format_{number}.

`TradingModel.save` wrote them, from 600 SYNTHETIC bars (seed 0) and a LightGBM of 5 rounds. After a
change of the formula of a feature they are refused, as they must be. After such a change, and for
each new format (`trainer.serving.manifest.FORMAT_VERSION`), store a new model with

    python tests/trainer/serving/test_stored_model.py
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

DATA = Path(__file__).resolve().parents[2] / "data"
ROOT = DATA.parent.parent


def synthetic_bars() -> pd.DataFrame:
    """Synthetic hourly bars: a geometric random walk."""
    rng = np.random.default_rng(0)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.004, 600))), 3)
    open_ = np.concatenate([[100.0], close[:-1]])
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=600, freq="1h", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) + 0.1,
            "low": np.minimum(open_, close) - 0.1,
            "close": close,
            "volume": np.round(rng.lognormal(5, 1, 600)),
        }
    )


each_stored_model = pytest.mark.parametrize(
    "folder", sorted(DATA.glob("model_format_*")), ids=lambda path: path.name
)


@each_stored_model
def test_a_stored_model_loads_and_decides(folder: Path) -> None:
    from trainer.serving.trading_model import TradingModel

    model = TradingModel.load(folder)
    decided = model.decide(synthetic_bars())
    assert set(decided["position"]) == {-1, 0, 1}
    assert decided["score"].notna().all()


#: What MLflow wrote beside the files of a registered model, as far as it names our code.
MLMODEL = """flavors:
  python_function:
    code: code
    data: data/model
    loader_module: trainer.flavor
    python_version: 3.11.2
"""


@each_stored_model
def test_a_registered_model_loads_through_the_names_in_its_mlmodel(
    folder: Path, tmp_path: Path
) -> None:
    """`trainer.flavor` is written into every registered model: MLflow imports it by that name."""
    from trainer import flavor
    from trainer.serving.trading_model import TradingModel

    (tmp_path / "MLmodel").write_text(MLMODEL)
    shutil.copytree(folder, tmp_path / "data" / "model")
    inside = flavor.data_folder(tmp_path)
    assert inside == tmp_path / "data" / "model"
    decided = TradingModel.load(inside).decide(synthetic_bars())
    written = yaml.safe_load(MLMODEL)["flavors"]["python_function"]
    served = import_module(written["loader_module"])._load_pyfunc(str(inside))
    assert served.predict(synthetic_bars())["score"].tolist() == decided["score"].tolist()
    assert (
        served.predict(synthetic_bars(), {"last": 3})["position"].tolist()
        == (decided["position"].tolist()[-3:])
    )


@each_stored_model
def test_formulas_are_in_the_modules_that_features_json_was_written_with(folder: Path) -> None:
    """The digest of a formula contains the name of its module: a renamed module changes it."""
    from features.catalogue import BUILT_IN
    from features.feature_set import rebuild
    from features.signature import FeatureSignature

    stored = json.loads((folder / "features.json").read_text())
    assert rebuild(FeatureSignature.from_json(stored)).signature.to_json() == stored
    modules = {kind.compute.__module__ for kind in BUILT_IN}
    assert modules == {"features.indicators"}


def test_this_format_is_among_the_stored_ones() -> None:
    from trainer.serving.manifest import FORMAT_VERSION

    assert (DATA / f"model_format_{FORMAT_VERSION}" / "manifest.json").is_file()


def store() -> Path:
    """Write a model of the present format."""
    from adapters.base import Batch
    from adapters.lgbm import LightGBMAdapter
    from features.bars import validate_bars
    from features.feature_set import FeatureSet
    from features.interval import Interval
    from trainer.serving.calibrators import PlattCalibrator
    from trainer.serving.contract import Contract
    from trainer.serving.manifest import FORMAT_VERSION
    from trainer.serving.threshold import Threshold
    from trainer.serving.trading_model import TradingModel

    hour = Interval.parse("1h")
    only_returns = FeatureSet.build(interval=hour, groups=["returns"], windows={"ret": [1, 4, 12]})
    bars = validate_bars(synthetic_bars(), symbol="SYNTH", interval=hour)
    X = only_returns.compute(bars)
    rows = np.flatnonzero(np.isfinite(X).all(axis=1))[:-1]
    y = (bars.close[rows + 1] > bars.close[rows]).astype(float)
    adapter = LightGBMAdapter(
        task="classification", params={"num_boost_round": 5, "learning_rate": 0.3}
    )
    adapter.fit(Batch(X[rows], y, np.ones(len(rows)), rows))
    contract = Contract(
        "lightgbm", "SYNTH", "1h", bars.calendar, "direction", 1, 10.0, 5.0, 24, False
    )
    model = TradingModel(
        contract, only_returns, adapter, PlattCalibrator(4.0, -2.0), Threshold(0.52, True)
    )
    folder = DATA / f"model_format_{FORMAT_VERSION}"
    model.save(folder, bars=bars, metrics={}, config={"synthetic": True})
    return folder


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    print(store())
