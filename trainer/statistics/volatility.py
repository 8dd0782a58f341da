"""Volatility of the last bars, as it is known at the close of each bar."""

from __future__ import annotations

import numpy as np

from trainer.arrays import FloatArray


def move_size(close: FloatArray, window: int) -> FloatArray:
    """Return the root mean square of the last one-bar log returns.

    Parameters
    ----------
    close : float64 array of shape (n,)
        Closes, positive.
    window : int
        Number of returns, >= 1.

    Returns
    -------
    float64 array of shape (n,)
        NaN for the first `window` bars. A value has the same bits whatever comes before its
        returns.

    Examples
    --------
    >>> move_size(np.exp([0.0, 0.03, -0.01]), window=2).round(6).tolist()
    [nan, nan, 0.035355]
    """
    squares = np.diff(np.log(close)) ** 2
    size = np.full(len(close), np.nan)
    count = len(squares) - window + 1
    if count > 0:
        # Return by return in one order: a sum that is carried on would depend on its beginning.
        total = np.zeros(count)
        for back in range(window):
            total += squares[back : back + count]
        size[window:] = np.sqrt(total / window)
    return size
