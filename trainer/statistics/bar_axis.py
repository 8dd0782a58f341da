"""Row values on the axis of all bars: a bar without a row is flat, not skipped."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BarAxis:
    """Every bar from the first row to the last: rows that were dropped are flat, not skipped.

    Skipping them would hold a position across an outage without paying for leaving it.
    """

    offset: IntArray
    length: int

    @classmethod
    def of(cls, bar: IntArray) -> Self:
        """Axis of rows at these bar positions."""
        return cls(bar - bar[0], int(bar[-1] - bar[0]) + 1)

    def place(self, values: FloatArray, fill: float) -> FloatArray:
        """Spread row values over the axis, `fill` elsewhere."""
        out = np.full(self.length, fill)
        out[self.offset] = values
        return out
