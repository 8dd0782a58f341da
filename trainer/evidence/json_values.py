"""Numbers in JSON, which has no NaN: an undefined number is null."""

from __future__ import annotations

import math


def plain(value: float) -> float | None:
    """Return a number as JSON holds it; None if it is NaN or infinite."""
    return value if math.isfinite(value) else None


def number(value: float | None) -> float:
    """Return a number that was read from JSON; NaN for null.

    Raises
    ------
    ValueError
        If it is neither a number nor null.
    """
    if value is None:
        return math.nan
    if not isinstance(value, int | float):
        raise ValueError(f"expected a number or null, got {value!r:.40}")
    return value
