"""The steps of a job as functions that workers run: what they take and return travels as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.dataset import Dataset, DatasetBuilder
from features.sources import HeldBars, RawBars
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.null_runs import null_dataset
from trainer.evidence.walk_forward import walk_forward
from trainer.job import TrainedModel
from trainer.jobs.fits import JobFits, MadeFit, PlannedFit, Setup, make_procedure, stage_models
from trainer.jobs.run_job import JobFitted, OnProgress, finish_job
from trainer.procedure.sample import Sample
from trainer.procedure.stored_fit import StoredFit
from trainer.scratch import scratch_folder


@dataclass(frozen=True, eq=False)
class FinishedJob:
    """The model of a job with its files.

    Attributes
    ----------
    trained : TrainedModel
        Its folder is the one of the worker.
    files : dict of str to bytes
        The files of the folder, by name.
    """

    trained: TrainedModel
    files: dict[str, bytes]

    def unpacked(self, folder: Path) -> TrainedModel:
        """Write the files to a new folder, and return the model with this folder."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return replace(self.trained, folder=folder)


def read_bars(config: TrainConfig, symbol: str) -> tuple[DatasetBuilder, RawBars]:
    """Read the bars of a symbol, in the process of the command, which has its sources and files."""
    builder = make_builder(config)
    if config.is_remote:  # the folders of another machine are not ours
        builder = replace(builder, cache=None)
    return builder, builder.source.read(symbol, config.interval)


def build_data(
    builder: DatasetBuilder, raw: RawBars, symbol: str, on_progress: OnProgress
) -> Dataset:
    """Build the dataset of bars that were read."""
    on_progress("features", 0, 1)
    return replace(builder, source=HeldBars(raw)).build(symbol)


def null_data(setup: Setup, data: Dataset, number: int, on_progress: OnProgress) -> Dataset:
    """Build the dataset of a null run, from that of the bars themselves."""
    frame = data.meta.bars.to_frame()
    return null_dataset(setup.builder, setup.job.symbol, frame, seed=setup.seed, number=number)


def plan_fits(
    setup: Setup, data: Dataset, production: bool, on_progress: OnProgress
) -> list[PlannedFit]:
    """Return the fits of a job on a dataset."""
    return JobFits(setup, data, production=production).plan()


def make_fits(
    setup: Setup,
    data: Dataset,
    production: bool,
    fits: Sequence[PlannedFit],
    on_progress: OnProgress,
) -> list[MadeFit]:
    """Make some of the fits of a job."""
    job = JobFits(
        setup, data, lambda text: on_progress(f"fits: {text}", 0, 0), production=production
    )
    return [job.make(fit) for fit in fits]


def null_ratio(
    setup: Setup, data: Dataset, stored: Sequence[StoredFit], on_progress: OnProgress
) -> float:
    """Return the net Sharpe ratio of the walk-forward of a null run; 0 if it never traded."""
    config = setup.config
    procedure = make_procedure(setup.job, config, data)
    walk = walk_forward(
        Sample.of(data, config.rule.volatility_window),
        procedure,
        config.wf_splits,
        models=lambda block: stage_models(procedure, stored, block),
    )
    return float(np.nan_to_num(walk.metrics["net_sharpe"]))


def finish(
    setup: Setup, data: Dataset, fitted: JobFitted | None, on_progress: OnProgress
) -> FinishedJob:
    """Make the model of a job, with its evidence and its files.

    Parameters
    ----------
    setup : Setup
    data : Dataset
    fitted : JobFitted or None
        None for a model whose fits do not travel: they are made here.
    on_progress : callable
    """
    with scratch_folder() as workspace:
        folder = workspace / setup.job.name
        trained = finish_job(setup, data, fitted, folder, on_progress)
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return FinishedJob(trained, files)
