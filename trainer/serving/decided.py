"""The decisions of a model on bars, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainer.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Decided:
    """Decisions at the close of consecutive bars.

    Attributes
    ----------
    time_ns : int64 array of shape (n,)
        Times of the bars, nanoseconds since 1970 UTC.
    score, probability : float64 arrays of shape (n,)
        Raw output of the model, and the calibrated probability of a rise; NaN where the model
        cannot decide.
    position : int8 array of shape (n,)
        -1 short, 0 flat, 1 long.
    certain : bool array of shape (n,)
        Whether the position is that of the whole series: False for bars at the beginning whose
        position depends on what came before them.
    """

    time_ns: IntArray
    score: FloatArray
    probability: FloatArray
    position: npt.NDArray[np.int8]
    certain: npt.NDArray[np.bool_]

    def last(self, count: int) -> Decided:
        """Return the last `count` decisions, or all (0) but the uncertain ones at the beginning."""
        first = len(self.certain) - count if count else int((~self.certain).sum())
        return Decided(**{name: values[first:] for name, values in vars(self).items()})

    def to_frame(self) -> pd.DataFrame:
        """Return columns timestamp (UTC), score, probability, position, with one row per bar."""
        columns = {
            "timestamp": pd.DatetimeIndex(self.time_ns.view("datetime64[ns]"), tz="UTC"),
            "score": self.score.copy(),
            "probability": self.probability.copy(),
            "position": self.position.astype(np.int64),
        }
        # Pandas would copy the columns once more, into blocks of one type.
        return pd.DataFrame(columns, copy=False)
