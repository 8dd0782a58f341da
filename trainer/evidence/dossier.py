"""Gather what a trained model is judged on: its record, its evidence, its headline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from features.dataset import Dataset
from trainer.arrays import FloatArray
from trainer.config import TrainConfig
from trainer.evidence.baselines import baseline_metrics, momentum_position
from trainer.evidence.cpcv import cpcv_net_sharpe
from trainer.evidence.evidence import (
    CostRow,
    Evidence,
    FoldRow,
    RegimeRow,
    ReliabilityRow,
    ThresholdRow,
)
from trainer.evidence.headline import Headline
from trainer.evidence.importance import permutation_importance
from trainer.evidence.null_runs import percentile
from trainer.evidence.record import Record
from trainer.evidence.regimes import by_regime, trailing_volatility
from trainer.evidence.walk_forward import WalkForward
from trainer.procedure.procedure import FOLD_METRICS, Fitted
from trainer.procedure.sample import Sample
from trainer.procedure.threshold_search import ThresholdSearch
from trainer.statistics.costs import Terms
from trainer.statistics.performance import reliability_curve, sharpe, total_return
from trainer.statistics.volatility import move_size

#: Multiples of the run's costs at which the positions of the walk-forward are measured.
STRESS = (0, 1, 2, 3)


def record_of(data: Dataset, sample: Sample, walk: WalkForward) -> Record:
    """Return the record of a walk-forward: its decisions on the axis of all bars."""
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
    null: Sequence[float],
    falls: Mapping[int, FloatArray] | None = None,
) -> Evidence:
    """Return the evidence beside the headline.

    Parameters
    ----------
    config : TrainConfig
    data : Dataset
    sample : Sample
        Rows of the dataset.
    fitted : Fitted
        Result of the procedure on all rows.
    record : Record
        Record of the walk-forward.
    null : sequence of float
        Net Sharpe ratios of the null runs; empty if there were none.
    falls : mapping of int to float64 arrays, optional
        As `measured` of `trainer.evidence.importance.permutation_importance`.

    Returns
    -------
    Evidence
        Undefined numbers are NaN.
    """
    terms = Terms(config.costs, data.meta.periods_per_year)
    timestamps = data.meta.bars.timestamps
    paths = cpcv_net_sharpe(
        record.probability,
        record.forward_return,
        horizon=config.horizon,
        settings=config.rule,
        volatility=_volatility(data, record, config.rule.volatility_window),
        terms=terms,
    )
    return Evidence(
        rows=len(data.y),
        first=timestamps[0].isoformat(),
        last=timestamps[-1].isoformat(),
        periods_per_year=terms.periods_per_year,
        record_digest=record.digest,
        threshold=fitted.threshold.value,
        flat_because=fitted.flat_because,
        calibrator=fitted.calibrator.kind,
        folds=tuple(FoldRow(fold=n, **row) for n, row in enumerate(fitted.fold_metrics)),
        regimes=_regimes(data, record, terms),
        cost_stress=tuple(_at_costs(record, terms, multiple) for multiple in STRESS),
        cpcv_net_sharpe=tuple(paths.tolist()),
        threshold_curve=_threshold_curve(fitted.search),
        reliability=_reliability(record),
        importance=permutation_importance(
            sample,
            fitted.fold_rows,
            fitted.fold_models,
            data.feature_names,
            seed=config.seed,
            measured=falls,
        ),
        null_net_sharpe=tuple(null),
    )


def headline_of(
    data: Dataset,
    walk: WalkForward,
    fitted: Fitted,
    evidence: Evidence,
    record: Record,
    terms: Terms,
) -> Headline:
    """Return the headline: the metrics of the walk-forward, of its baselines and its evidence.

    Parameters
    ----------
    data : Dataset
    walk : WalkForward
    fitted : Fitted
        Result of the procedure on all rows: its folds give the selection metrics.
    evidence : Evidence
    record : Record
        Record of the walk-forward.
    terms : Terms
        Costs per side, and bars in a trading year.
    """
    momentum = _of_record(data, record, momentum_position(data.meta.bars))
    metrics = {
        **walk.metrics,
        **baseline_metrics(record, momentum, terms),
        **evidence_metrics(evidence),
    }
    if evidence.null_net_sharpe:
        net_sharpe = walk.metrics["net_sharpe"]
        metrics["null_percentile"] = percentile(net_sharpe, evidence.null_net_sharpe)
    timestamps = data.meta.bars.timestamps
    return Headline(
        metrics={name: float(value) for name, value in metrics.items()},
        selection=selection_metrics(fitted.fold_metrics),
        blocks=tuple(block.dated(timestamps) for block in walk.blocks),
    )


def evidence_metrics(evidence: Evidence) -> dict[str, float]:
    """Return the metrics of the evidence that are logged beside those of the walk-forward.

    Examples
    --------
    >>> metrics = evidence_metrics(Evidence(cpcv_net_sharpe=(1.0, 2.0, 3.0)))
    >>> metrics["cpcv_net_sharpe_mean"], metrics["cpcv_net_sharpe_std"]
    (2.0, 1.0)
    """
    paths = np.array(evidence.cpcv_net_sharpe, dtype=np.float64)
    return {
        "cpcv_net_sharpe_mean": float(paths.mean()),
        "cpcv_net_sharpe_std": float(paths.std(ddof=1)),
        "cpcv_net_sharpe_min": float(paths.min()),
        "cpcv_net_sharpe_max": float(paths.max()),
        **{f"{row.kind}_{row.name}_net_sharpe": row.net_sharpe for row in evidence.regimes},
    }


def selection_metrics(fold_metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return mean, deviation (ddof = 0) and minimum over the folds of each fold metric (``val_``).

    A fold in which a metric is undefined does not count; a metric that no fold has is left out.

    Examples
    --------
    >>> selection_metrics([{name: value for name in FOLD_METRICS} for value in (0.25, 0.75)])[
    ...     "val_brier_mean"
    ... ]
    0.5
    """
    metrics: dict[str, float] = {}
    for name in FOLD_METRICS:
        values = [fold[name] for fold in fold_metrics if math.isfinite(fold[name])]
        if values:
            average = sum(values) / len(values)
            spread = math.sqrt(sum((v - average) ** 2 for v in values) / len(values))
            metrics |= {
                f"val_{name}_mean": average,
                f"val_{name}_std": spread,
                f"val_{name}_min": min(values),
            }
    return metrics


def _volatility(data: Dataset, record: Record, window: int) -> FloatArray | None:
    """Return the volatility that a position rule needs at each bar of the record."""
    if not window:
        return None
    return _of_record(data, record, move_size(data.meta.bars.close, window))


def _of_record(data: Dataset, record: Record, values: FloatArray) -> FloatArray:
    """Return the values of the bars of the record, of one value for each bar of the data."""
    first = int(np.searchsorted(data.meta.bars.time_ns, record.time_ns[0]))
    return values[first : first + len(record)]


def _regimes(data: Dataset, record: Record, terms: Terms) -> tuple[RegimeRow, ...]:
    # Volatility that is known at the close of each bar of the record.
    volatility = _of_record(data, record, trailing_volatility(data.meta.bars.close))
    return by_regime(record, volatility, terms)


def _at_costs(record: Record, terms: Terms, multiple: int) -> CostRow:
    net = record.net(terms.costs.times(multiple))
    return CostRow(
        multiple=multiple,
        bps_per_side=multiple * terms.costs.bps,
        net_sharpe=sharpe(net, terms.periods_per_year),
        net_return=total_return(net),
    )


def _threshold_curve(search: ThresholdSearch) -> tuple[ThresholdRow, ...]:
    return tuple(
        ThresholdRow(float(threshold), float(net_sharpe), int(trades))
        for threshold, net_sharpe, trades in zip(
            search.candidates, search.net_sharpe, search.n_trades, strict=True
        )
    )


def _reliability(record: Record) -> tuple[ReliabilityRow, ...]:
    known = np.isfinite(record.probability)
    bins = reliability_curve(record.probability[known], record.outcome[known])
    return tuple(
        ReliabilityRow(float(probability), float(frequency), int(rows))
        for probability, frequency, rows in zip(*bins, strict=True)
    )
