"""The record of a walk-forward: decisions, returns and outcomes bar by bar, as one file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trainer.arrays import FloatArray, IntArray
from trainer.errors import TrainerError
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns

_COLUMNS = ("position", "forward_return", "probability", "outcome")
#: Name of the file among the artifacts of a run.
RECORD_FILE = "walk_forward.parquet"


@dataclass(frozen=True, eq=False)
class Record:
    """Decisions that were made without their future, on every bar from the first row to the last.

    Attributes
    ----------
    time_ns : int64 array of shape (n,)
        Bar OPEN times, nanoseconds since 1970 UTC, increasing.
    position : float64 array of shape (n,)
        -1, 0 or 1; 0 where a bar had no row.
    forward_return : float64 array of shape (n,)
        Return of the bar in which that position is held, open to open; 0 where a bar had no row.
    probability, outcome : float64 arrays of shape (n,)
        Calibrated probability of a rise; 1 if the label was a rise, else 0. NaN where a bar had no
        row.
    """

    time_ns: IntArray
    position: FloatArray
    forward_return: FloatArray
    probability: FloatArray
    outcome: FloatArray

    @classmethod
    def of_rows(
        cls,
        time_ns: IntArray,
        bar: IntArray,
        *,
        position: npt.NDArray[np.int8],
        forward_return: FloatArray,
        probability: FloatArray,
        outcome: FloatArray,
    ) -> Self:
        """Return the record of decided rows; bars without a row are flat.

        Parameters
        ----------
        time_ns : int64 array
            Open times of the whole series of bars.
        bar : int64 array of shape (m,)
            Position of each row's bar in that series, increasing.
        position, forward_return, probability, outcome : arrays of shape (m,)

        Examples
        --------
        The bar between the two rows was dropped:

        >>> record = Record.of_rows(
        ...     np.arange(10, 20),
        ...     np.array([3, 5]),
        ...     position=np.array([1, -1], dtype=np.int8),
        ...     forward_return=np.array([0.01, 0.02]),
        ...     probability=np.array([0.7, 0.2]),
        ...     outcome=np.array([1.0, 0.0]),
        ... )
        >>> record.time_ns.tolist(), record.position.tolist(), record.probability.tolist()
        ([13, 14, 15], [1.0, 0.0, -1.0], [0.7, nan, 0.2])
        """
        axis = BarAxis.of(bar)
        return cls(
            time_ns[bar[0] : bar[0] + axis.length],
            axis.place(position.astype(np.float64), 0.0),
            axis.place(forward_return, 0.0),
            axis.place(probability, np.nan),
            axis.place(outcome, np.nan),
        )

    @classmethod
    def empty(cls) -> Self:
        """Return a record without bars."""
        none = np.empty(0)
        return cls(np.empty(0, dtype=np.int64), none, none, none, none)

    def __len__(self) -> int:
        return len(self.time_ns)

    def net(self, costs: Costs) -> FloatArray:
        """Return the return of each bar after these costs, shape (n,)."""
        return net_returns(self.position, self.forward_return, costs)

    @property
    def digest(self) -> str:
        """SHA-256 of all values; runs with equal digests count as one trial."""
        digest = hashlib.sha256(self.time_ns.tobytes())
        for name in _COLUMNS:
            # NaN has many bit patterns.
            digest.update(np.nan_to_num(getattr(self, name), nan=-9.0).tobytes())
        return digest.hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per bar: timestamp (UTC), then the other arrays."""
        times = pd.DatetimeIndex(self.time_ns.view("datetime64[ns]"), tz="UTC")
        return pd.DataFrame({"timestamp": times, **{n: getattr(self, n) for n in _COLUMNS}})

    def write(self, path: Path) -> None:
        """Write the record as parquet."""
        self.to_frame().to_parquet(path, index=False, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` wrote.

        Raises
        ------
        TrainerError
            If the file is missing, or is not a record.
        """
        try:
            frame = pd.read_parquet(path)
            times = pd.DatetimeIndex(frame["timestamp"]).as_unit("ns").asi8
            columns = [frame[name].to_numpy(dtype=np.float64) for name in _COLUMNS]
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise TrainerError(
                f"the walk-forward in {path.name} cannot be read: {reason}; train again"
            ) from error
        return cls(times, *columns)
