"""What a finished task says of itself: metrics, settings and facts as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from features.dataset import Dataset
from trainer.config import TrainConfig
from trainer.evidence.record import Record
from trainer.evidence.walk_forward import WalkForward
from trainer.procedure.procedure import FOLD_METRICS, Fitted


def metrics(headline: Mapping[str, float], fitted: Fitted) -> dict[str, float]:
    """Return headline figures as ``wf_``, and mean, spread and minimum over folds as ``val_``."""
    found = {f"wf_{name}": float(value) for name, value in headline.items()}
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
    walk: WalkForward,
    record: Record,
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
        "walk_forward_plan": walk.plan_digest,
        "record_digest": record.digest,
        "periods_per_year": data.meta.periods_per_year,
        **{f"{model}.{name}": value for name, value in artifacts["params"].items()},
    }


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


def finite(values: Any) -> Any:
    """JSON knows no NaN: an undefined figure is null, however deep it lies."""
    if isinstance(values, dict):
        return {name: finite(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
