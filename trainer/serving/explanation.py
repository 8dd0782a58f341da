"""The part that each feature has in one score, for models that state it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from features.bars import Bars
from trainer.errors import TrainerError
from trainer.serving.trading_model import TradingModel


@dataclass(frozen=True)
class Contribution:
    """The part of one feature in a score.

    Attributes
    ----------
    feature : str
    value : float
        Value of the feature at the decided bar.
    part : float
        What it adds to the sum.
    """

    feature: str
    value: float
    part: float


@dataclass(frozen=True)
class Explanation:
    """The sum that a score is made of.

    Attributes
    ----------
    timestamp : str
        Time of the decided bar, ISO 8601 in UTC.
    score : float
        Score of the model.
    total : float
        The sum: the log-odds of a score that is a probability, or the score itself.
    base : float
        What the sum is without the features: its mean over the training rows.
    largest : tuple of Contribution
        The features with the largest parts, by size.
    others : float
        The parts of all other features together.
    """

    timestamp: str
    score: float
    total: float
    base: float
    largest: tuple[Contribution, ...]
    others: float

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {**vars(self), "largest": [vars(part) for part in self.largest]}


def explain(model: TradingModel, bars: Bars, score: float, count: int = 5) -> Explanation:
    """Return the parts of the last bar's score.

    Parameters
    ----------
    model : TradingModel
    bars : Bars
        At least `required_bars`, as `TradingModel.needed_bars` returns them.
    score : float
        Score of the last bar, as `TradingModel.decide_bars` returns it.
    count : int, default 5
        Number of features that are named.

    Raises
    ------
    TrainerError
        If the last bar has no score.
    AdapterError
        If the kind of model does not state its parts.
    """
    time = bars.timestamps[-1].isoformat()
    if not np.isfinite(score):
        raise TrainerError(
            f"the bar of {time} has no score to explain: its features are undefined or span a gap; "
            "decide a later bar"
        )
    times = bars.time_ns if model.reads_stamps else None
    row = model.features.compute(bars, time_ns=times)[-1:]  # (1, f)
    parts = model.adapter.contributions(row)[0]  # (f + 1,)
    order = np.argsort(-np.abs(parts[:-1]), kind="stable")
    largest = tuple(
        Contribution(model.features.names[i], float(row[0, i]), float(parts[i]))
        for i in order[:count]
    )
    return Explanation(
        timestamp=time,
        score=float(score),
        total=float(parts.sum()),
        base=float(parts[-1]),
        largest=largest,
        others=float(parts[order[count:]].sum()),
    )
