"""evidence.json: what a sceptic would ask of a model beside its headline, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from features.dataset import Dataset
from trainer.config import TrainConfig
from trainer.evidence.cpcv import cpcv_net_sharpe
from trainer.evidence.importance import permutation_importance
from trainer.evidence.record import Record
from trainer.evidence.regimes import by_regime, trailing_volatility
from trainer.evidence.walk_forward import WalkForward
from trainer.procedure.procedure import Fitted
from trainer.procedure.sample import Sample
from trainer.serving.contract import Contract
from trainer.statistics.costs import Terms
from trainer.statistics.performance import (
    reliability_curve,
    sharpe,
    total_return,
)

#: Costs that the walk-forward's positions are held against, in multiples of the run's own.
STRESS = (0, 1, 2, 3)


def record_of(data: Dataset, sample: Sample, walk: WalkForward) -> Record:
    """Put a walk-forward on its bars."""
    rows = np.searchsorted(sample.bar, walk.bar)
    return Record.of_rows(
        data.meta.bars.time_ns,
        walk.bar,
        position=walk.position,
        forward_return=sample.forward_return[rows],
        probability=walk.probability,
        outcome=sample.outcome[rows],
    )


def gather(
    config: TrainConfig,
    data: Dataset,
    sample: Sample,
    fitted: Fitted,
    record: Record,
    null: list[float],
) -> dict[str, Any]:
    """Return all evidence that the headline figures and blocks do not hold already.

    Parameters
    ----------
    config : TrainConfig
    data : Dataset
    sample : Sample
        Its rows.
    fitted : Fitted
        What it gave on all rows.
    record : Record
        Its walk-forward.
    null : list of float
        Net Sharpe ratios of the null control; empty if it was not asked for.

    Returns
    -------
    dict
        Plain values; what is undefined is NaN.
    """
    terms = Terms(config.costs, data.meta.periods_per_year)
    # What was known at each bar's close; the record begins at its first bar's place.
    first = int(np.searchsorted(data.meta.bars.time_ns, record.time_ns[0]))
    volatility = trailing_volatility(data.meta.bars.close)[first : first + len(record)]
    known = np.isfinite(record.probability)
    points = reliability_curve(record.probability[known], record.outcome[known])
    search = fitted.search
    return {
        "rows": len(data.y),
        "first": data.meta.bars.timestamps[0].isoformat(),
        "last": data.meta.bars.timestamps[-1].isoformat(),
        "periods_per_year": terms.periods_per_year,
        "record_digest": record.digest,
        "threshold": fitted.threshold.value,
        "flat_because": fitted.flat_because,
        "calibrator": fitted.calibrator.kind,
        "folds": [{"fold": n, **row} for n, row in enumerate(fitted.fold_metrics)],
        "regimes": by_regime(record, volatility, terms),
        "cost_stress": [_stressed(record, terms, multiple) for multiple in STRESS],
        "cpcv_net_sharpe": cpcv_net_sharpe(
            record.probability,
            record.forward_return,
            horizon=config.horizon,
            allow_short=config.allow_short,
            terms=terms,
        ).tolist(),
        "threshold_curve": [
            {"threshold": float(t), "val_net_sharpe": float(s), "trades": int(k)}
            for t, s, k in zip(search.candidates, search.net_sharpe, search.n_trades, strict=True)
        ],
        "reliability": [
            {"probability": float(p), "frequency": float(f), "rows": int(n)}
            for p, f, n in zip(*points, strict=True)
        ],
        "importance": permutation_importance(
            sample, fitted.fold_rows, fitted.fold_models, data.feature_names, seed=config.seed
        ),
        "null_net_sharpe": null,
    }


def _stressed(record: Record, terms: Terms, multiple: int) -> dict[str, float]:
    net = record.net(terms.costs.times(multiple))
    return {
        "multiple": multiple,
        "bps_per_side": multiple * terms.costs.bps,
        "net_sharpe": sharpe(net, terms.periods_per_year),
        "net_return": total_return(net),
    }


def headline(evidence: dict[str, Any]) -> dict[str, float]:
    """Return figures of the evidence that are logged as metrics beside the walk-forward's own."""
    paths = np.array(evidence["cpcv_net_sharpe"], dtype=np.float64)
    found = {
        "cpcv_net_sharpe_mean": float(paths.mean()),
        "cpcv_net_sharpe_std": float(paths.std(ddof=1)),
        "cpcv_net_sharpe_min": float(paths.min()),
        "cpcv_net_sharpe_max": float(paths.max()),
    }
    for row in evidence["regimes"]:
        found[f"{row['kind']}_{row['name']}_net_sharpe"] = row["net_sharpe"]
    return found


def page(
    contract: Contract, told: Mapping[str, Any], evidence: Mapping[str, Any], status: str
) -> dict[str, Any]:
    """Put together what `trainer.report.figures` and `trainer.report.page` show of a model.

    Parameters
    ----------
    contract : Contract
    told : mapping
        Its metrics.json: ``metrics`` and ``blocks``.
    evidence : mapping
        Its evidence.json.
    status : str
        ``flat``, ``unproven`` or ``proven``.
    """
    return {
        **evidence,
        **asdict(contract),
        "understood": f"{contract.symbol} at {contract.interval}",
        "status": status,
        "blocks": told["blocks"],
        "metrics": walk_forward_figures(told["metrics"]),
    }


def walk_forward_figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the ``wf_`` figures among logged metrics, without that prefix."""
    return {
        name.removeprefix("wf_"): value for name, value in metrics.items() if name.startswith("wf_")
    }
