"""Walk-forward evaluation: the whole procedure on the past, each later block scored once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from features.dataset import take_rows
from trainer.errors import TrainerError
from trainer.evidence.significance import evidence
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample
from trainer.procedure.splits import PurgedWalkForward, plan_digest
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.performance import base_rate_log_loss, baselines, probability_metrics

#: Share of the rows (in whole blocks, about) that only trains: the first procedure needs folds
#: longer than the embargo, and should not be the weakest by lack of rows alone.
INITIAL_TRAIN = 0.4
#: Told of a model that trades by itself, beside what its scores earn through the threshold.
_NATIVE = ("net_sharpe", "gross_sharpe", "net_return", "turnover", "n_trades")


@dataclass(frozen=True, eq=False)
class WalkForward:
    """Positions that were decided without their future, and what they earned.

    Attributes
    ----------
    bar : int64 array of shape (m,)
        Bar positions of the tested rows.
    probability : float64 array of shape (m,)
    position : int8 array of shape (m,)
    metrics : dict of str to float
        Headline figures over all blocks together.
    blocks : list of dict
        The same for each block, with its threshold.
    plan_digest : str
        Digest of the blocks.
    """

    bar: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    position: npt.NDArray[np.int8]
    metrics: dict[str, float]
    blocks: list[dict[str, Any]]
    plan_digest: str


def walk_forward(sample: Sample, procedure: Procedure, n_splits: int) -> WalkForward:
    """Measure the procedure as it would have been used.

    Parameters
    ----------
    sample : Sample
        Labelled rows.
    procedure : Procedure
        What is measured: folds, model, calibrator and threshold, all from the past of a block.
    n_splits : int
        Blocks after the initial training rows.

    Returns
    -------
    WalkForward

    Raises
    ------
    TrainerError
        If the rows are too few for the blocks or the folds.
    """
    initial = max(1, round(n_splits * INITIAL_TRAIN / (1.0 - INITIAL_TRAIN)))
    try:
        splitter = PurgedWalkForward(n_splits + initial - 1, t0=sample.bar, t1=sample.label_end)
        splits = list(splitter.split())[initial - 1 :]
    except TrainerError as error:
        # The splitter counts the initial blocks as well, and would name a number nobody typed.
        raise TrainerError(
            f"`wf_splits`={n_splits} is too many for {len(sample)} usable rows; give more bars, "
            "or lower --wf-splits or --horizon"
        ) from error
    probability = np.full(len(sample), np.nan)
    position = np.zeros(len(sample), dtype=np.int8)
    by_itself, trades_by_itself = np.zeros(len(sample), dtype=np.int8), False
    blocks: list[dict[str, Any]] = []
    for number, (train, test) in enumerate(splits):
        fitted = procedure.run(sample.take(train))
        probability[test], position[test] = fitted.positions(sample, test)
        native = fitted.adapter.rollout(take_rows(sample.X, test), sample.bar[test])
        if native is not None:
            by_itself[test], trades_by_itself = native, True
        blocks.append(
            {
                "block": number,
                "first_bar": int(sample.bar[test[0]]),
                "last_bar": int(sample.bar[test[-1]]),
                "train_rows": len(train),
                "test_rows": len(test),
                "threshold": fitted.threshold.value,
                **_measure(sample, procedure, test, probability, position),
            }
        )
    tested = np.concatenate([test for _, test in splits])
    metrics = _measure(sample, procedure, tested, probability, position)
    if trades_by_itself:
        earned = procedure.performance(sample, tested, by_itself[tested])
        metrics |= {f"native_{name}": earned[name] for name in _NATIVE}
    axis = BarAxis.of(sample.bar[tested])
    moved = axis.place(sample.forward_return[tested], 0.0)
    metrics |= evidence(
        axis.place(position[tested].astype(float), 0.0),
        moved,
        procedure.terms,
    )
    metrics |= baselines(
        moved,
        procedure.terms,
    )
    return WalkForward(
        sample.bar[tested],
        probability[tested],
        position[tested],
        metrics,
        blocks,
        plan_digest(splits),
    )


def _measure(
    sample: Sample,
    procedure: Procedure,
    rows: npt.NDArray[np.int64],
    probability: npt.NDArray[np.float64],
    position: npt.NDArray[np.int8],
) -> dict[str, float]:
    known = rows[np.isfinite(probability[rows])]
    return {
        **procedure.performance(sample, rows, position[rows]),
        **probability_metrics(probability[known], sample.outcome[known]),
        "base_rate_log_loss": base_rate_log_loss(sample.outcome[known]),
    }
