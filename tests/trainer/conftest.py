"""Synthetic rows, and a real small model that records what it is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from adapters.base import Batch, ModelAdapter, Value, check_batch, check_rows, not_fitted
from adapters.lgbm import LightGBMAdapter
from features.labels import LabelSpec, average_uniqueness, forward_return, make_labels
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample
from trainer.statistics.costs import Costs, Terms

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MakeSample = Callable[..., Sample]
MakeProcedure = Callable[..., Procedure]


def _synthetic_sample(
    n: int = 900,
    *,
    horizon: int = 6,
    seed: int = 0,
    edge: float = 0.0,
    holes: tuple[tuple[int, int], ...] = (),
) -> Sample:
    """Synthetic random walk; column 0 moves the return of the bar that follows by `edge`.

    Column 0 is a persistent standard normal process, the others are past returns in units of the
    volatility, 0.4 % a bar. Bars in ``[start, stop)`` of each hole have no row.
    """
    rng = np.random.default_rng(seed)
    length = n + horizon + 2
    driver = rng.normal(size=length)
    for i in range(1, length):
        driver[i] = 0.9 * driver[i - 1] + np.sqrt(1 - 0.81) * driver[i]
    moves = rng.normal(0.0, 0.004, length)
    moves[2:] += edge * driver[:-2]  # decided at the close of i, held from open i+1 to open i+2
    open_ = 100 * np.exp(np.cumsum(moves))
    past = [np.convolve(moves, np.ones(w) / w**0.5)[:n] / 0.004 for w in (1, 4, 16, 48)]
    labels = make_labels(LabelSpec("direction", horizon), open_, open_, open_, open_)
    bar = np.arange(n)
    for start, stop in holes:
        bar = bar[(bar < start) | (bar >= stop)]
    weight = average_uniqueness(bar, labels.end[bar])
    X = np.stack([driver[:n], *past], axis=1).astype(np.float32)
    y = labels.y[bar]
    return Sample(
        X[bar],
        y,
        y.copy(),
        weight / weight.mean(),
        forward_return(open_)[bar],
        bar,
        labels.end[bar],
    )


@dataclass
class Seen:
    """What one model was shown: bar positions of the rows."""

    train: IntArray
    tail: IntArray
    scored: list[IntArray] = field(default_factory=list)


class SpyAdapter(ModelAdapter):
    """A linear model on the mean of the last `lookback` rows; it keeps a record of every call."""

    name: ClassVar[str] = "spy"
    defaults: ClassVar[Mapping[str, Value]] = {"lookback": 1, "learns": True}
    seen: list[Seen]
    _slope: FloatArray | None = None

    @property
    def lookback(self) -> int:
        return int(self.params["lookback"])

    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        check_batch(train, self.task)
        tail = np.arange(0) if valid is None else valid.position
        self._record = Seen(train.position, tail)
        self.seen.append(self._record)
        X, centred = train.X.astype(float), train.y - train.y.mean()
        self._slope = np.eye(X.shape[1])[0]
        if self.params["learns"]:
            self._slope = np.linalg.solve(X.T @ X + np.eye(X.shape[1]), 4 * X.T @ centred)
        return self

    def predict(self, X: npt.NDArray[np.float32], position: IntArray | None = None) -> FloatArray:
        if self._slope is None:
            raise not_fitted(self.name)
        check_rows(X, len(self._slope))
        position = np.arange(len(X)) if position is None else position
        self._record.scored.append(position)
        out = np.full(len(X), np.nan)
        for i in range(self.lookback - 1, len(X)):
            first = i - self.lookback + 1
            if position[i] - position[first] == self.lookback - 1:
                out[i] = X[first : i + 1].astype(float).mean(axis=0) @ self._slope
        return 1 / (1 + np.exp(-out))

    def get_artifacts(self) -> dict[str, Any]:
        return {"params": dict(self.params)}

    def save(self, path: Path) -> None:
        if self._slope is None:
            raise not_fitted(self.name)
        path.write_text(json.dumps({"slope": self._slope.tolist(), "params": self.params}))

    @classmethod
    def load(cls, path: Path) -> Self:
        stored = json.loads(path.read_text())
        loaded = cls(task="classification", params=stored["params"])
        loaded._slope = np.array(stored["slope"])
        loaded._record = Seen(np.arange(0), np.arange(0))
        return loaded


@pytest.fixture(scope="session")
def synthetic_sample() -> MakeSample:
    """``synthetic_sample(n, horizon=, seed=, edge=, holes=)``: synthetic labelled rows."""
    return _synthetic_sample


@pytest.fixture(scope="session")
def make_procedure() -> MakeProcedure:
    """``make_procedure(make_adapter, **changes)``: three folds, costs of 1.5 bps a side."""

    def make(make_adapter: Callable[[], ModelAdapter], **changes: Any) -> Procedure:
        settings: dict[str, Any] = {
            "n_splits": 3,
            "embargo": 10,
            "horizon": 6,
            "terms": Terms(Costs(1.0, 0.5), 8_760.0),
        }
        return Procedure(make_adapter, **{**settings, **changes})

    return make


@pytest.fixture
def seen() -> list[Seen]:
    """Every fit of the spies of one test, in order."""
    return []


@pytest.fixture
def spy(seen: list[Seen]) -> Callable[..., Callable[[], ModelAdapter]]:
    """``spy(lookback=1, learns=True)``: makes spies; ``learns=False`` scores by column 0 alone."""

    def factory(**params: Value) -> Callable[[], ModelAdapter]:
        def make() -> ModelAdapter:
            adapter = SpyAdapter(task="classification", params=params)
            adapter.seen = seen
            return adapter

        return make

    return factory


@pytest.fixture(scope="session")
def trees() -> Callable[..., Callable[[], ModelAdapter]]:
    """``trees(seed=42)``: makes small, quick LightGBM models."""

    def factory(seed: int = 42) -> Callable[[], ModelAdapter]:
        return lambda: LightGBMAdapter(
            task="classification",
            seed=seed,
            params={
                "num_boost_round": 40,
                "min_data_in_leaf": 20,
                "learning_rate": 0.1,
                "early_stopping_rounds": 10,
            },
        )

    return factory


Candidate = tuple[dict[str, Any], pd.DataFrame]


@pytest.fixture
def candidate() -> Candidate:
    """Page, as JSON, and bars of a walk-forward of 5,000 synthetic hours that traded."""
    rng = np.random.default_rng(3)
    n = 5_000
    position = np.repeat(rng.integers(-1, 2, n // 25), 25).astype(float)
    move = rng.normal(0.0, 0.004, n) + 0.0004 * position
    timestamps = pd.date_range("2023-01-01", periods=n, freq="h", tz="UTC")
    series = pd.DataFrame({"timestamp": timestamps, "position": position, "forward_return": move})
    starts = [0, 2_000, 3_500]
    measures = {"net_sharpe": 0.5, "gross_sharpe": 0.75, "net_return": 0.02, "n_trades": 66}
    losses = {"log_loss": 0.69, "base_rate_log_loss": 0.693}
    curve = [(0.50, -0.4, 300), (0.52, 0.8, 120), (0.55, 1.5, 12), (0.60, None, 0)]
    content: dict[str, Any] = {
        "model": "gru",
        "symbol": "BTCUSDT",
        "interval": "1h",
        "calendar": "24/7",
        "task": "direction",
        "max_gap_bars": 24,
        "allow_jumps": False,
        "understood": "BTCUSDT_1h.parquet: 9,000 rows, times in UTC",
        "first": timestamps[0].isoformat(),
        "last": timestamps[-1].isoformat(),
        "rows": 8_000,
        "fee_bps": 1.0,
        "slippage_bps": 0.5,
        "periods_per_year": 8_760.0,
        "horizon": 12,
        "threshold": 0.52,
        "calibrator": "platt",
        "status": "unproven",
        "metrics": {
            **measures, **losses, "net_sharpe": 1.25, "net_sharpe_lower": -0.5,
            "net_sharpe_upper": 3.0, "psr": 0.9, "min_track_record": 12_345.6, "n_bars": n,
            "break_even_bps": 3.0, "gross_return": 0.3, "turnover": 400.0, "exposure": 0.66,
            "net_max_drawdown": -0.2, "net_sortino": 1.7, "roc_auc": 0.53,
            "buy_hold_sharpe": 0.25, "buy_hold_return": 0.05,
        },
        "blocks": [
            {
                "block": i, "train_rows": 3_000 + start, "test_rows": 1_500,
                "first": timestamps[start].isoformat(), "last": timestamps[start].isoformat(),
                "threshold": 0.52, **measures, **losses, "net_sharpe": i - 0.5, "turnover": 100.0,
            }
            for i, start in enumerate(starts)
        ],
        "folds": [
            {"fold": i, "brier": 0.25, "roc_auc": 0.5, "turnover": 50.0, **losses, **measures}
            for i in range(3)
        ],
        "regimes": [
            {"kind": kind, "name": name, "bars": 1_000 + i, "buy_hold_sharpe": -0.25,
             "exposure": 0.5, **measures, "net_sharpe": 1.0 + i}
            for i, (kind, name) in enumerate([("volatility", "low"), ("year", "2023")])
        ],
        "cost_stress": [
            {"multiple": k, "bps_per_side": 1.5 * k, "net_sharpe": 2.0 - k, "net_return": 0.1}
            for k in range(4)
        ],
        "cpcv_net_sharpe": [0.5, 1.0, 0.0, 1.5, 2.0],
        "threshold_curve": [
            {"threshold": t, "val_net_sharpe": s, "trades": k} for t, s, k in curve
        ],
        "reliability": [
            {"probability": 0.45, "frequency": 0.5, "rows": 400},
            {"probability": 0.55, "frequency": 0.6, "rows": 1_200},
        ],
        "importance": [
            {"feature": f"f_{i}", "mean": 0.003 - 0.0001 * i, "std": 0.0,
             "folds": [0.002 - 0.0001 * i, 0.004 - 0.0001 * i]}
            for i in range(25)
        ],
        "null_net_sharpe": [-1.0, 0.0, 1.0, 2.0, None],
    }  # fmt: skip
    return content, series


@pytest.fixture
def flat_candidate(candidate: Candidate) -> Candidate:
    """The same model as if it never traded: its ratios are null."""
    content, series = candidate
    for row in (content["metrics"], *content["blocks"], *content["folds"],
                *content["regimes"], *content["cost_stress"]):  # fmt: skip
        row |= dict.fromkeys(("net_sharpe", "gross_sharpe"))
        row |= {"n_trades": 0, "turnover": 0.0, "net_return": 0.0}
    metrics = content["metrics"]
    metrics |= dict.fromkeys(("net_sharpe_lower", "net_sharpe_upper", "psr", "min_track_record"))
    metrics |= {"break_even_bps": None, "net_sortino": None, "net_max_drawdown": 0.0}
    content |= {"threshold": None, "status": "flat", "cpcv_net_sharpe": [0.0] * 5}
    content |= {"importance": [], "null_net_sharpe": []}
    return content, series.assign(position=0.0)
