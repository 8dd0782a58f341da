"""A registry of versions with synthetic walk-forwards, for the tests of what judges them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from features.bars import validate_bars
from features.interval import Interval
from features.labels import forward_return
from trainer.evidence.baselines import baseline_metrics
from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Headline
from trainer.evidence.record import RECORD_FILE, Record
from trainer.evidence.significance import significance
from trainer.flavor import log_model
from trainer.serving.manifest import MANIFEST, MANIFEST_TAG, sha256
from trainer.serving.threshold import Threshold
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import performance, probability_metrics, sharpe

_STORED = Path(__file__).resolve().parent / "data" / "model_format_2"


def synthetic_bars(n: int = 4_000, seed: int = 0) -> pd.DataFrame:
    """Synthetic hourly bars of SYNTH: a geometric random walk."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
    open_ = np.concatenate([[100.0], close[:-1]])
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2022-01-01", periods=n, freq="1h", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * 1.001,
            "low": np.minimum(open_, close) * 0.999,
            "close": close,
            "volume": rng.lognormal(5, 1, n),
        }
    )


@dataclass
class RegistryStore:
    """A real MLflow store with versions of lightgbm-SYNTH whose metrics need no training.

    The model is the stored one of tests/data. Its walk-forward is synthetic: its positions contain
    `skill` of each next return, so that every metric of the gate can be produced in a second.
    """

    folder: Path
    uri: str
    bars: pd.DataFrame

    name: ClassVar[str] = "lightgbm-SYNTH"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)

    @property
    def source(self) -> str:
        return str(self.folder / "bars")

    def record(self, skill: float, seed: int = 0, start: int = 500, stop: int = 3_500) -> Record:
        rng = np.random.default_rng(seed)
        bar = np.arange(start, stop)
        moves = forward_return(self.bars["open"].to_numpy())[bar]
        guess = skill * moves / 0.02 + rng.normal(0, 1, len(bar))
        outcome = (moves > 0).astype(float)
        return Record.of_rows(
            pd.DatetimeIndex(self.bars["timestamp"]).as_unit("ns").asi8,
            bar,
            position=np.sign(np.where(np.abs(guess) > 1.2, guess, 0)).astype(np.int8),
            forward_return=moves,
            probability=np.clip(0.5 + skill * guess / 20, 0.01, 0.99),
            outcome=outcome,
        )

    def run(self, record: Record, *, symbol: str = "SYNTH", **params: object) -> str:
        """Log a candidate run with this walk-forward."""
        existing = self.client.get_experiment_by_name("e")
        experiment = existing.experiment_id if existing else self.client.create_experiment("e")
        tags = {"kind": "candidate", "symbol": symbol, "model": "lightgbm"}
        run = self.client.create_run(experiment, tags=tags)
        run_id = str(run.info.run_id)
        logged = {
            "interval": "1h", "trials": 1, "record_digest": record.digest, "source": self.source,
            **params,
        }  # fmt: skip
        for key, value in logged.items():
            self.client.log_param(run_id, key, value)
        net = sharpe(record.net(Costs(10, 5)), 8_760)
        if np.isfinite(net):
            self.client.log_metric(run_id, "wf_net_sharpe", net)
        with tempfile.TemporaryDirectory() as folder:
            record.write(Path(folder) / RECORD_FILE)
            self.client.log_artifact(run_id, str(Path(folder) / RECORD_FILE))
        self.client.set_terminated(run_id)
        return run_id

    def version(
        self,
        record: Record,
        *,
        last: int = 3_512,
        threshold: float | None = 0.52,
        evidence: Mapping[str, Any] | None = None,
        blocks: Sequence[Mapping[str, Any]] = (),
        against: str = "none",
        **contract: Any,
    ) -> str:
        """Register a version with this walk-forward; its training ended at bar `last`."""
        stored = TradingModel.load(_STORED)
        model = replace(
            stored,
            contract=replace(stored.contract, **contract),
            threshold=Threshold(threshold, True),
        )
        terms = Terms(model.contract.costs, 8_760)
        run_id = self.run(record, **asdict(terms.costs), against=against)
        known = np.isfinite(record.probability)
        metrics = {
            **performance(record.position, record.forward_return, terms),
            **significance(record.position, record.forward_return, terms),
            **probability_metrics(record.probability[known], record.outcome[known]),
            **baseline_metrics(record, np.zeros(len(record)), terms),
        }
        own = Evidence(
            record_digest=record.digest,
            periods_per_year=8_760.0,
            last=self.bars["timestamp"].iloc[last].isoformat(),
            flat_because="" if threshold is not None else "no threshold paid",
        )
        hour = Interval.parse("1h")
        with tempfile.TemporaryDirectory() as folder:
            model.save(
                Path(folder),
                bars=validate_bars(self.bars, symbol="SYNTH", interval=hour),
                metrics={**Headline(metrics).to_json(), "blocks": list(blocks)},
                config={},
                evidence=own.to_json() if evidence is None else dict(evidence),
            )
            digest = sha256(Path(folder) / MANIFEST)
            with mlflow.start_run(run_id=run_id):
                info = log_model(Path(folder), self.name, requirements=("lightgbm",))
        registered = mlflow.register_model(
            info.model_uri, self.name, tags={"run_id": run_id, MANIFEST_TAG: digest, "status": "x"}
        )
        return str(registered.version)


@contextmanager
def opened(folder: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryStore]:
    """Open a store in a folder, which becomes the working directory and gets bars of SYNTH."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(folder)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    bars = synthetic_bars()
    (folder / "bars").mkdir()
    bars.to_parquet(folder / "bars" / "SYNTH_1h.parquet")
    yield RegistryStore(folder, uri, bars)
    mlflow.set_tracking_uri(before)
