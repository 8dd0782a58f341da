"""A paired comparison of two models on the bars that both decided out of sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.labels import forward_return
from trainer.arrays import FloatArray, IntArray
from trainer.evidence.record import Record
from trainer.serving.trading_model import TradingModel
from trainer.statistics.bootstrap import Difference, sharpe_difference
from trainer.statistics.costs import Terms
from trainer.statistics.performance import net_returns

#: Seed of the resampling: equal returns give an equal comparison in every run.
_SEED = 0


@dataclass(frozen=True, eq=False)
class Track:
    """Out-of-sample positions of one model on bars.

    Attributes
    ----------
    time_ns : int64 array of shape (n,)
        Bar OPEN times, increasing.
    position, forward_return : float64 arrays of shape (n,)
        Position decided at the bar's close, and the return of the bar in which it is held.
    known : bool array of shape (n,)
        Whether the model had a row at the bar; it is flat at a bar without one.
    rescored : bool array of shape (n,)
        Whether the loaded model decided the bar, which is later than its training data; else its
        walk-forward did.
    """

    time_ns: IntArray
    position: FloatArray
    forward_return: FloatArray
    known: npt.NDArray[np.bool_]
    rescored: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairedComparison:
    """The result of `compare_tracks`.

    Attributes
    ----------
    bars, rescored : int
        Bars that both models decided out of sample, and how many of them a loaded model decided.
    same_prices : bool
        Whether both have the same returns there.
    difference : Difference
        Annualised net Sharpe ratio of the first less that of the second.
    """

    bars: int
    rescored: int
    same_prices: bool
    difference: Difference


def track(model: TradingModel, record: Record, last: pd.Timestamp, frame: pd.DataFrame) -> Track:
    """Return a model's decisions out of sample.

    On the bars of its training data these are the decisions of its walk-forward: the loaded model
    was fitted on them. On later bars the loaded model decides, as it would have in production.

    Parameters
    ----------
    model : TradingModel
        The loaded model.
    record : Record
        Its walk-forward.
    last : pandas.Timestamp
        Last bar of its training data.
    frame : pandas.DataFrame
        Validated bars, as `features.bars.Bars.to_frame` returns them.
    """
    parts = [
        Track(
            record.time_ns,
            record.position,
            record.forward_return,
            np.isfinite(record.probability),
            np.zeros(len(record), dtype=bool),
        )
    ]
    later = int((frame["timestamp"] > last).sum())
    if later and len(frame) >= model.required_bars + later:
        decided = model.decide_end(frame, later)[1].to_frame()
        ahead = forward_return(frame["open"].to_numpy(dtype=np.float64))[-later:]
        # The returns of the last two bars are not known yet.
        known = np.isfinite(ahead)
        times = pd.DatetimeIndex(decided["timestamp"]).as_unit("ns").asi8
        parts.append(
            Track(
                times[known],
                decided["position"].to_numpy(dtype=np.float64)[known],
                ahead[known],
                decided["probability"].notna().to_numpy()[known],
                np.ones(int(known.sum()), dtype=bool),
            )
        )
    return Track(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("time_ns", "position", "forward_return", "known", "rescored")
        )
    )


def compare_tracks(first: Track, second: Track, terms: Terms) -> PairedComparison:
    """Compare two models by a paired stationary bootstrap of their net returns.

    Only bars of both tracks count, and both models pay the same costs. At a bar where one of them
    had no row, both are flat.
    """
    _, a, b = np.intersect1d(first.time_ns, second.time_ns, assume_unique=True, return_indices=True)
    both = first.known[a] & second.known[b]
    moves = np.where(both, first.forward_return[a], 0.0)
    others = np.where(both, second.forward_return[b], 0.0)
    net = [
        net_returns(np.where(both, position, 0.0), moves, terms.costs)
        for position in (first.position[a], second.position[b])
    ]
    return PairedComparison(
        bars=int(both.sum()),
        rescored=int((both & (first.rescored[a] | second.rescored[b])).sum()),
        same_prices=bool(np.allclose(moves, others, rtol=1e-6, atol=1e-9)),
        difference=sharpe_difference(net[0], net[1], terms.periods_per_year, seed=_SEED),
    )
