"""What a finished task says of itself: metrics, settings and facts as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from features.dataset import Dataset
from trainer.config import TrainConfig
from trainer.evaluation import WalkForward
from trainer.training import FOLD_METRICS, Fitted


def metrics(evidence: WalkForward, fitted: Fitted) -> dict[str, float]:
    """Return headline figures as ``wf_``, and mean, spread and minimum over folds as ``val_``."""
    found = {f"wf_{name}": float(value) for name, value in evidence.metrics.items()}
    for name in FOLD_METRICS:
        values = [fold[name] for fold in fitted.fold_metrics if math.isfinite(fold[name])]
        if values:
            average = sum(values) / len(values)
            spread = math.sqrt(sum((v - average) ** 2 for v in values) / len(values))
            found |= {
                f"val_{name}_mean": average,
                f"val_{name}_std": spread,
                f"val_{name}_min": min(values),
            }
    return found


def params(
    config: TrainConfig,
    model: str,
    data: Dataset,
    fitted: Fitted,
    evidence: WalkForward,
    artifacts: dict[str, Any],
) -> dict[str, Any]:
    """Return the settings worth comparing between runs."""
    return {
        **config.model_dump(exclude={"symbols", "models", "params", "experiment"}),
        "model": model,
        "trials": fitted.adapter.trials,
        "symbol": data.meta.symbol,
        "calendar": data.meta.calendar,
        "threshold": fitted.threshold.value,
        "calibrator": fitted.calibrator.kind,
        "feature_signature": data.meta.signature.digest,
        "data_digest": data.meta.data_digest,
        "fold_plan": fitted.plan_digest,
        "walk_forward_plan": evidence.plan_digest,
        **{f"{model}.{name}": value for name, value in artifacts["params"].items()},
    }


def doubts(metrics: dict[str, float]) -> tuple[str, ...]:
    """Return what a walk-forward says against a model: nothing yet speaks for one."""
    found = []
    if not metrics["wf_n_trades"]:
        found.append("its walk-forward never traded")
    elif not metrics["wf_net_return"] > 0:
        found.append("its walk-forward lost after costs")
    if not metrics["wf_log_loss"] < metrics["wf_base_rate_log_loss"]:
        found.append("its probabilities were no better than the base rate's")
    return tuple(found)


def facts(data: Dataset) -> dict[str, Any]:
    """Return what the run was trained on: rows, dropped rows and gaps, in plain values."""
    meta = data.meta
    return {
        "symbol": meta.symbol,
        "interval": meta.interval,
        "bars": len(meta.bars),
        "rows": len(data.y),
        "first": meta.bars.timestamps[0].isoformat(),
        "last": meta.bars.timestamps[-1].isoformat(),
        "dropped": meta.dropped,
        "gaps": meta.gaps,
        "cache": meta.cache,
        "understood": meta.understood,
        "digest": meta.data_digest,
        "label": asdict(meta.label),
    }


def curve(fitted: Fitted) -> list[dict[str, Any]]:
    """Return net Sharpe ratio and trades of each threshold that was tried."""
    search = fitted.search
    columns = zip(search.candidates, search.net_sharpe, search.n_trades, strict=True)
    return [
        {"threshold": float(t), "val_net_sharpe": float(s), "trades": int(k)} for t, s, k in columns
    ]


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN: an undefined figure is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
