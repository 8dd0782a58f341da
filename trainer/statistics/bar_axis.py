"""Row values on the axis of all bars, where a bar without a row gets a fill value."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from trainer.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class BarAxis:
    """Every bar from the first row to the last.

    Bars without a row (dropped rows) stay on the axis, with a position of 0. If they were left
    out, a position would be held across an outage without the costs of leaving it.

    Attributes
    ----------
    offset : int64 array of shape (n,)
        Place of each row on the axis.
    length : int
        Number of bars of the axis.

    Examples
    --------
    Three rows on bars 5, 6 and 9. Bars 7 and 8 have no row:

    >>> axis = BarAxis.of(np.array([5, 6, 9]))
    >>> axis.place(np.array([1.0, -1.0, 1.0]), fill=0.0).tolist()
    [1.0, -1.0, 0.0, 0.0, 1.0]
    """

    offset: IntArray
    length: int

    @classmethod
    def of(cls, bar: IntArray) -> Self:
        """Return the axis of rows at these bar positions, which increase."""
        return cls(bar - bar[0], int(bar[-1] - bar[0]) + 1)

    def place(self, values: FloatArray, fill: float) -> FloatArray:
        """Return the row values on the axis.

        Parameters
        ----------
        values : float64 array of shape (n,)
            One value per row.
        fill : float
            Value of the bars without a row.

        Returns
        -------
        float64 array of shape (length,)
        """
        out = np.full(self.length, fill)
        out[self.offset] = values
        return out
