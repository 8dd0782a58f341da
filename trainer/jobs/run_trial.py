"""One trial of a search in one worker: a walk-forward on the first part of the bars."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from adapters.base import Value
from barwright import BarwrightError
from features.sources import RawBars
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.errors import TrainerError, error_text
from trainer.evidence import dossier
from trainer.evidence.walk_forward import first_tested_bar, walk_forward
from trainer.job import Job
from trainer.jobs.fits import make_procedure
from trainer.jobs.job_cache import fit_cache_of_worker
from trainer.procedure.sample import Sample
from trainer.search.space import HORIZONS, Space
from trainer.search.study import should_stop
from trainer.search.trial import Trial

#: Walk-forward blocks of the first part. Fewer than those of a headline: trials are many.
SEARCH_BLOCKS = 3
#: Folds of the purged K-fold at most, for the same reason. The first part has fewer rows, too.
SEARCH_FOLDS = 3
#: Share of all bars that lies unused between the first part and the earliest headline. Settings
#: drop different rows at gaps, and that moves the first block of a headline by a few bars.
_MARGIN = 0.01
#: Rows that the first part must have after its warm-up: three blocks, each with folds before it.
_LEAST_ROWS = 200
#: Addition to an error of a trial: its bars and folds are not those of the command.
_IN_PART = f" (a search sees the first part of the bars only, in at most {SEARCH_FOLDS} folds)"


@dataclass(frozen=True, eq=False)
class FirstPart:
    """The bars of a symbol that a search may see.

    Attributes
    ----------
    frame : pandas.DataFrame
        Validated bars, oldest first.
    calendar : str
        Calendar of the whole file: a part could mean another one.
    digest : str
        Digest of all bars of the symbol.
    """

    frame: pd.DataFrame
    calendar: str
    digest: str

    @classmethod
    def of(cls, symbol: str, config: TrainConfig) -> FirstPart:
        """Return the bars before the first block of every headline that a search may lead to.

        Raises
        ------
        BarwrightError
            If the bars cannot be read, or too few of them lie in the first part.
        """
        data = make_builder(config).build(symbol)
        sample = Sample.of(data)
        first = first_tested_bar(sample, config.wf_splits)
        # Other horizons end the rows earlier, other features begin them earlier: both move the
        # first block towards the first bar, by less than their own length.
        bars, warmup = data.meta.bars, int(sample.bar[0])
        spare = max(config.horizon, *HORIZONS) + warmup + _MARGIN * len(bars)
        end = max(0, first - math.ceil(spare))
        if end - warmup < _LEAST_ROWS:
            raise TrainerError(
                f"a search sees the first part of the bars, which is {end:,} of the {len(bars):,} "
                f"of {symbol}; it needs {warmup + _LEAST_ROWS:,} ({warmup} for the features); give "
                "more bars, or features that look less far back"
            )
        return cls(bars.to_frame().iloc[:end], data.meta.calendar, bars.digest)

    def touches_headline(self, symbol: str, config: TrainConfig) -> bool:
        """Return whether a walk-forward with these settings would score any of these bars."""
        sample = Sample.of(make_builder(config).build(symbol))
        return first_tested_bar(sample, config.wf_splits) < len(self.frame)

    def read(self, symbol: str, interval: str) -> RawBars:
        """Return the bars, as a source does."""
        return RawBars(self.frame, f"first {len(self.frame):,} bars of {symbol} at {interval}")


@dataclass(frozen=True, eq=False)
class TrialTask:
    """What a worker needs for a trial.

    Attributes
    ----------
    job : Job
    config : TrainConfig
        Settings of the trial.
    part : FirstPart
    space : Space
    past : tuple of Trial
        Trials of the batches before.
    number : int
    values : dict of str to value
        Values of the dimensions of the space, which `config` contains.
    """

    job: Job
    config: TrainConfig
    part: FirstPart
    space: Space
    past: tuple[Trial, ...]
    number: int
    values: dict[str, Value]


class _PrunedError(Exception):
    """Raised to end the walk-forward of a trial that is worse than the median."""


def run_trial(task: TrialTask, on_progress: Callable[[str, int, int], None]) -> Trial:
    """Measure a trial; return a failure, never raise it.

    Parameters
    ----------
    task : TrialTask
    on_progress : callable
        Called with a text, blocks that are done, blocks in total.
    """
    started = time.perf_counter()
    ratios: list[float] = []
    trial = Trial(task.number, task.values, "complete")

    def after_block(net_sharpe: float) -> None:
        ratios.append(float(np.nan_to_num(net_sharpe)))
        on_progress(f"trial {trial.name}", len(ratios), SEARCH_BLOCKS)
        if len(ratios) < SEARCH_BLOCKS and should_stop(task.space, task.past, ratios):
            raise _PrunedError

    try:
        trial = _measure(task, trial, after_block)
    except _PrunedError:
        trial = replace(trial, state="pruned")
    except Exception as error:
        # Some settings cannot be used on these bars; the others go on.
        text = error_text(error)
        if isinstance(error, BarwrightError):
            text += _IN_PART
        return Trial(task.number, task.values, "failed", error=text)
    return replace(trial, net_sharpe=tuple(ratios), seconds=time.perf_counter() - started)


def _measure(task: TrialTask, trial: Trial, after_block: Callable[[float], None]) -> Trial:
    folds = min(task.config.n_splits, SEARCH_FOLDS)
    config = task.config.model_copy(update={"calendar": task.part.calendar, "n_splits": folds})
    # The jumps of the whole file were checked.
    builder = replace(make_builder(config), source=task.part, allow_jumps=True)
    data = builder.build(task.job.symbol)
    sample = Sample.of(data, config.rule.volatility_window)
    procedure = make_procedure(task.job, config, data, fit_cache=fit_cache_of_worker(config))
    walk = walk_forward(sample, procedure, SEARCH_BLOCKS, after_block)
    gain = walk.metrics["base_rate_log_loss"] - walk.metrics["log_loss"]
    return replace(
        trial,
        gain=float(np.nan_to_num(gain)),
        n_trades=int(walk.metrics["n_trades"]),
        tries=procedure.make_adapter().trials,
        record=dossier.record_of(data, sample, walk),
    )
