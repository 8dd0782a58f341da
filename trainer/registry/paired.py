"""Two models on the same bars: what each decided out of sample, and which of them did better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.labels import forward_return
from trainer.evidence.record import Record
from trainer.serving.trading_model import TradingModel
from trainer.statistics.bootstrap import Difference, sharpe_difference
from trainer.statistics.costs import Terms
from trainer.statistics.performance import net_returns

Floats = npt.NDArray[np.float64]
#: Of the resampling: the same returns are compared in the same way in every run.
_SEED = 0


@dataclass(frozen=True, eq=False)
class Track:
    """Out-of-sample positions of one model on bars.

    Attributes
    ----------
    time_ns : int64 array of shape (n,)
        Bar OPEN times, increasing.
    position, forward_return : float64 arrays of shape (n,)
    known : bool array of shape (n,)
        Whether the model had a row there: where not, it was flat.
    rescored : bool array of shape (n,)
        Whether the loaded model itself decided there, after all that it was trained on.
    """

    time_ns: npt.NDArray[np.int64]
    position: Floats
    forward_return: Floats
    known: npt.NDArray[np.bool_]
    rescored: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Compared:
    """Outcome of a comparison.

    Attributes
    ----------
    bars, rescored : int
        Bars that both decided out of sample, and how many of them were decided by a loaded model.
    same_prices : bool
        Whether both saw the same returns there.
    difference : Difference
        First less second, annualised net Sharpe ratios.
    """

    bars: int
    rescored: int
    same_prices: bool
    difference: Difference


def track(model: TradingModel, record: Record, last: pd.Timestamp, frame: pd.DataFrame) -> Track:
    """Follow a model out of sample: its walk-forward, then itself on bars after its training.

    The loaded model knows the bars it was trained on, so on those its walk-forward speaks for it;
    on later bars it decides itself, as it would have in service.

    Parameters
    ----------
    model : TradingModel
        As loaded.
    record : Record
        Its walk-forward.
    last : pandas.Timestamp
        Last bar of its training data.
    frame : pandas.DataFrame
        Proven bars, as `features.bars.Bars.to_frame` gives them.
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
        decided = model.decide(frame, last=later)
        ahead = forward_return(frame["open"].to_numpy(dtype=np.float64))[-later:]
        # The returns of the last bars are not known yet.
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


def compare(
    first: Track,
    second: Track,
    terms: Terms,
) -> Compared:
    """Compare two tracks on the bars that both have, by a paired stationary bootstrap.

    Both pay the same costs. Where either had no row, both are flat.
    """
    _, a, b = np.intersect1d(first.time_ns, second.time_ns, assume_unique=True, return_indices=True)
    both = first.known[a] & second.known[b]
    moves = np.where(both, first.forward_return[a], 0.0)
    others = np.where(both, second.forward_return[b], 0.0)
    net = [
        net_returns(np.where(both, position, 0.0), moves, terms.costs)
        for position in (first.position[a], second.position[b])
    ]
    return Compared(
        bars=int(both.sum()),
        rescored=int((both & (first.rescored[a] | second.rescored[b])).sum()),
        same_prices=bool(np.allclose(moves, others, rtol=1e-6, atol=1e-9)),
        difference=sharpe_difference(net[0], net[1], terms.periods_per_year, seed=_SEED),
    )
