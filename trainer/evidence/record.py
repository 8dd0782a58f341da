"""The walk-forward bar by bar: what a model decided and what the market did, as it is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trainer.errors import TrainerError
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns

Floats = npt.NDArray[np.float64]

_COLUMNS = ("position", "forward_return", "probability", "outcome")
#: Name of the file among a run's artefacts.
RECORD_FILE = "walk_forward.parquet"


@dataclass(frozen=True, eq=False)
class Record:
    """Decisions that were made without their future, on every bar from the first to the last.

    Attributes
    ----------
    time_ns : int64 array of shape (n,)
        Bar OPEN times, nanoseconds since 1970 UTC, increasing.
    position : float64 array of shape (n,)
        -1, 0 or 1; 0 where a bar had no row.
    forward_return : float64 array of shape (n,)
        Of the bar in which that position is held, open to open; 0 where a bar had no row.
    probability, outcome : float64 arrays of shape (n,)
        Calibrated probability of a rise, and 1 if it came, else 0; NaN where a bar had no row.
    """

    time_ns: npt.NDArray[np.int64]
    position: Floats
    forward_return: Floats
    probability: Floats
    outcome: Floats

    @classmethod
    def of_rows(
        cls,
        time_ns: npt.NDArray[np.int64],
        bar: npt.NDArray[np.int64],
        *,
        position: npt.NDArray[np.int8],
        forward_return: Floats,
        probability: Floats,
        outcome: Floats,
    ) -> Self:
        """Spread rows over their bars.

        Parameters
        ----------
        time_ns : int64 array
            Times of the whole series of bars.
        bar : int64 array of shape (m,)
            Position of each row's bar in that series, increasing.
        position, forward_return, probability, outcome : arrays of shape (m,)
        """
        axis = BarAxis.of(bar)
        return cls(
            time_ns[bar[0] : bar[0] + axis.length],
            axis.place(position.astype(np.float64), 0.0),
            axis.place(forward_return, 0.0),
            axis.place(probability, np.nan),
            axis.place(outcome, np.nan),
        )

    def __len__(self) -> int:
        return len(self.time_ns)

    def net(self, costs: Costs) -> Floats:
        """Return what each bar earned after these costs."""
        return net_returns(self.position, self.forward_return, costs)

    @property
    def digest(self) -> str:
        """SHA-256 of what was decided and earned: equal records are one trial, not two."""
        found = hashlib.sha256(self.time_ns.tobytes())
        for name in _COLUMNS:
            # NaN has many bit patterns.
            found.update(np.nan_to_num(getattr(self, name), nan=-9.0).tobytes())
        return found.hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """Return one row a bar: timestamp (UTC), then the arrays."""
        times = pd.DatetimeIndex(self.time_ns.view("datetime64[ns]"), tz="UTC")
        return pd.DataFrame({"timestamp": times, **{n: getattr(self, n) for n in _COLUMNS}})

    def write(self, path: Path) -> None:
        """Write the record as parquet."""
        self.to_frame().to_parquet(path, index=False, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        TrainerError
            If it is not there, or is not a record.
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
