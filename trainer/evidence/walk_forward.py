"""Walk-forward evaluation: the whole procedure on the past, each later block scored once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from adapters.base import ModelAdapter
from features.dataset import take_rows
from trainer.arrays import FloatArray, IntArray
from trainer.errors import TrainerError
from trainer.evidence.headline import Block
from trainer.evidence.significance import significance
from trainer.procedure.procedure import Fitted, Procedure
from trainer.procedure.sample import Sample, score_rows
from trainer.procedure.splits import PurgedWalkForward, plan_digest
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.performance import baselines

Positions = npt.NDArray[np.int8]

#: Share of the rows, rounded to whole blocks, that is used for training only. The first procedure
#: needs folds longer than the embargo, and it should not be the weakest only because it has few
#: rows.
INITIAL_TRAIN = 0.4
#: Metrics of a model's native positions, beside those of the positions from the threshold.
_NATIVE_METRICS = ("net_sharpe", "gross_sharpe", "net_return", "turnover", "n_trades")


@dataclass(frozen=True)
class ScoredBlock:
    """One block of the walk-forward, on bar positions.

    Attributes
    ----------
    block : int
        Its number, from 0.
    first_bar, last_bar : int
        Positions of its first and last row in the series of bars.
    train_rows, test_rows : int
        Rows that its procedure was fitted on, and rows that were scored.
    threshold : float or None
        Threshold of its procedure; None for "do not trade".
    metrics : dict of str to float
        Performance and probability metrics of its rows; NaN where undefined.
    """

    block: int
    first_bar: int
    last_bar: int
    train_rows: int
    test_rows: int
    threshold: float | None
    metrics: dict[str, float]

    def dated(self, timestamps: pd.DatetimeIndex) -> Block:
        """Return the block with the open times of its first and last bar.

        Parameters
        ----------
        timestamps : pandas.DatetimeIndex
            Open times of the whole series of bars.
        """
        return Block(
            block=self.block,
            first=timestamps[self.first_bar].isoformat(),
            last=timestamps[self.last_bar].isoformat(),
            train_rows=self.train_rows,
            test_rows=self.test_rows,
            threshold=self.threshold,
            metrics=self.metrics,
        )


@dataclass(frozen=True, eq=False)
class WalkForward:
    """Decisions that were made without their future, and their results.

    Attributes
    ----------
    bar : int64 array of shape (m,)
        Bar positions of the tested rows.
    probability : float64 array of shape (m,)
    position : int8 array of shape (m,)
    metrics : dict of str to float
        Over all blocks together; NaN where undefined.
    blocks : list of ScoredBlock
    plan_digest : str
        Digest of the blocks.
    """

    bar: IntArray
    probability: FloatArray
    position: Positions
    metrics: dict[str, float]
    blocks: list[ScoredBlock]
    plan_digest: str


class _Decisions(NamedTuple):
    """Decisions of one block, with the model's native positions if it has any."""

    probability: FloatArray
    position: Positions
    native_position: Positions | None
    block: ScoredBlock


def walk_forward(
    sample: Sample,
    procedure: Procedure,
    n_splits: int,
    after_block: Callable[[float], None] | None = None,
    models: Callable[[int], Sequence[ModelAdapter] | None] = lambda block: None,
) -> WalkForward:
    """Measure the procedure as it would have been used.

    Each block is scored by the procedure that was run on the rows before it.

    Parameters
    ----------
    sample : Sample
        Labelled rows.
    procedure : Procedure
        Folds, model, calibrator and threshold, all from the past of a block.
    n_splits : int
        Number of blocks after the initial training rows.
    after_block : callable, optional
        Called after each block with the net Sharpe ratio of all blocks so far; NaN if they never
        traded. What it raises ends the walk-forward.
    models : callable, optional
        Returns the models of a block, by its number from 0, that `Procedure.run` takes; None, as
        by default, if they are to be fitted here.

    Returns
    -------
    WalkForward

    Raises
    ------
    TrainerError
        If the rows are too few for the blocks or the folds.
    """
    splits = blocks(sample, n_splits)
    decisions: list[_Decisions] = []
    for number, (train, test) in enumerate(splits):
        fitted = procedure.run(sample.take(train), models(number))
        decisions.append(_decide(sample, procedure, fitted, number, train, test))
        if after_block is not None:
            after_block(_net_sharpe(sample, procedure, splits, decisions))
    tested = np.concatenate([test for _, test in splits])  # (m,)
    probability = np.concatenate([block.probability for block in decisions])  # (m,)
    position = np.concatenate([block.position for block in decisions])  # (m,)
    metrics = procedure.measure(sample, tested, probability, position)
    metrics |= _native_metrics(sample, procedure, tested, decisions)
    axis = BarAxis.of(sample.bar[tested])
    forward_return = axis.place(sample.forward_return[tested], 0.0)  # (bars,)
    metrics |= significance(
        axis.place(position.astype(float), 0.0), forward_return, procedure.terms
    )
    metrics |= baselines(forward_return, procedure.terms)
    return WalkForward(
        sample.bar[tested],
        probability,
        position,
        metrics,
        [block.block for block in decisions],
        plan_digest(splits),
    )


def first_tested_bar(sample: Sample, n_splits: int) -> int:
    """Return the position of the first bar that a walk-forward of these rows scores.

    Raises
    ------
    TrainerError
        If the rows are too few for the blocks.
    """
    return int(sample.bar[blocks(sample, n_splits)[0][1][0]])


def _net_sharpe(
    sample: Sample,
    procedure: Procedure,
    splits: list[tuple[IntArray, IntArray]],
    decisions: list[_Decisions],
) -> float:
    """Return the net Sharpe ratio of the blocks that are decided."""
    tested = np.concatenate([test for _, test in splits[: len(decisions)]])
    position = np.concatenate([block.position for block in decisions])
    return procedure.performance(sample, tested, position)["net_sharpe"]


def blocks(sample: Sample, n_splits: int) -> list[tuple[IntArray, IntArray]]:
    """Return training and test rows of each block, after the initial training rows.

    Raises
    ------
    TrainerError
        If the rows are too few for the blocks.
    """
    initial = max(1, round(n_splits * INITIAL_TRAIN / (1.0 - INITIAL_TRAIN)))
    try:
        splitter = PurgedWalkForward(n_splits + initial - 1, t0=sample.bar, t1=sample.label_end)
        return list(splitter.split())[initial - 1 :]
    except TrainerError as error:
        # The splitter also counts the initial blocks: its text has a number that no user gave.
        raise TrainerError(
            f"`wf_splits`={n_splits} is too many for {len(sample)} usable rows; give more bars, "
            "or lower --wf-splits or --horizon"
        ) from error


def _decide(
    sample: Sample,
    procedure: Procedure,
    fitted: Fitted,
    number: int,
    train: IntArray,
    test: IntArray,
) -> _Decisions:
    """Decide the test rows of a block once."""
    probability, position = fitted.positions(sample, test)
    block = ScoredBlock(
        block=number,
        first_bar=int(sample.bar[test[0]]),
        last_bar=int(sample.bar[test[-1]]),
        train_rows=len(train),
        test_rows=len(test),
        threshold=fitted.threshold.value,
        metrics=procedure.measure(sample, test, probability, position),
    )
    native_position = _native_position(fitted.adapter, sample, test)
    return _Decisions(probability, position, native_position, block)


def ask_for_block(adapter: ModelAdapter, sample: Sample, test: IntArray) -> None:
    """Ask a model all that a walk-forward asks it about a block that it decides.

    Parameters
    ----------
    adapter : ModelAdapter
        Fitted on all rows before the block.
    sample : Sample
        Labelled rows.
    test : int64 array
        Rows of the block.
    """
    score_rows(adapter, sample, test)
    _native_position(adapter, sample, test)


def _native_position(
    adapter: ModelAdapter, sample: Sample, test: IntArray
) -> npt.NDArray[np.int8] | None:
    return adapter.rollout(take_rows(sample.X, test), sample.bar[test])


def _native_metrics(
    sample: Sample, procedure: Procedure, tested: IntArray, decisions: list[_Decisions]
) -> dict[str, float]:
    """Return metrics of the native positions; none for a model that only scores rows."""
    if all(block.native_position is None for block in decisions):
        return {}
    position = np.concatenate(
        [
            np.zeros_like(block.position)
            if block.native_position is None
            else block.native_position
            for block in decisions
        ]
    )
    performance = procedure.performance(sample, tested, position)
    return {f"native_{name}": performance[name] for name in _NATIVE_METRICS}
