"""Settings of a finished job, with the facts on its data, as plain values."""

from __future__ import annotations

from features.dataset import Dataset
from trainer.config import TrainConfig
from trainer.evidence.record import Record
from trainer.evidence.walk_forward import WalkForward
from trainer.job import DataFacts, Job
from trainer.procedure.procedure import Fitted

#: Options that a run of one job keeps in another form.
_OTHERWISE = ("symbols", "models", "params", "experiment")


def params(
    job: Job,
    config: TrainConfig,
    data: Dataset,
    fitted: Fitted,
    walk: WalkForward,
    record: Record,
) -> dict[str, object]:
    """Return the settings worth comparing between runs, which MLflow logs as parameters."""
    return {
        **{name: value for name, value in config.logged().items() if name not in _OTHERWISE},
        "model": job.model,
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
        **{
            f"{job.model}.{name}": value
            for name, value in fitted.adapter.get_artifacts()["params"].items()
        },
    }


def data_facts(data: Dataset, fits_read: int) -> DataFacts:
    """Return the facts on the data that a job was trained on.

    Parameters
    ----------
    data : Dataset
    fits_read : int
        Fits that were read from the fit cache.
    """
    meta = data.meta
    return DataFacts(
        symbol=meta.symbol,
        interval=meta.interval,
        bars=len(meta.bars),
        rows=len(data.y),
        first=meta.bars.timestamps[0].isoformat(),
        last=meta.bars.timestamps[-1].isoformat(),
        dropped=meta.dropped,
        gaps=meta.gaps,
        cache=meta.cache,
        understood=meta.understood,
        digest=meta.data_digest,
        label=meta.label,
        fits_read=fits_read,
    )
