"""Numbers in JSON, which has no NaN: an undefined number is null."""

from __future__ import annotations

import math


def plain(value: float) -> float | None:
    """Return a number as JSON holds it; None if it is NaN or infinite."""
    return value if math.isfinite(value) else None


def number(value: float | None) -> float:
    """Return a number that was read from JSON; NaN for null."""
    return math.nan if value is None else value
