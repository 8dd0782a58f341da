"""Whether values differ by more than the rounding of floating-point numbers."""

import numpy as np
from numpy.typing import ArrayLike

#: Largest spread of values that count as equal, relative to the largest of them and to 1. Returns
#: are fractions per bar. They are quotients and differences of numbers near 1, so that each has a
#: rounding error of about 1e-16. The returns of a real market spread by much more than 1e-12.
TOLERANCE = 1e-12


def is_constant(values: ArrayLike) -> bool:
    """Return whether all values are equal up to rounding.

    Statistics that divide by a deviation are undefined (NaN) for such values: the deviation is 0
    or, because of rounding, about 1e-18, and the ratio would be about 1e14.

    Parameters
    ----------
    values : array of any shape
        Finite.

    Returns
    -------
    bool
        ``max(values) - min(values) <= TOLERANCE * max(1, max(abs(values)))``; True if the array is
        empty.

    Examples
    --------
    A price that grows by 0.1 % a bar has returns that differ in their last bits only:

    >>> price = 100 * 1.001 ** np.arange(5)
    >>> returns = price[1:] / price[:-1] - 1
    >>> bool(returns.min() < returns.max()), is_constant(returns)
    (True, True)
    >>> is_constant([0.001, 0.002])
    False
    """
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        return True
    least, most = float(array.min()), float(array.max())
    return most - least <= TOLERANCE * max(1.0, abs(least), abs(most))
