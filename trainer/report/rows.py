"""Values of the rows of a page, by name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from trainer.arrays import FloatArray
from trainer.evidence.headline import Block


def value_of(row: object, name: str) -> Any:
    """Return a field of a row of the evidence; of a block, also one of its metrics (else NaN)."""
    if isinstance(row, Block) and not hasattr(row, name):
        return row.metrics.get(name, math.nan)
    return getattr(row, name)


def number_of(row: object, name: str) -> float:
    """Return a number of a row; NaN if it is None, infinite or undefined."""
    value = value_of(row, name)
    return float(value) if value is not None and math.isfinite(value) else math.nan


def columns(rows: Iterable[object], *names: str) -> tuple[FloatArray, ...]:
    """Return one float64 array of shape (n_rows,) for each name, with NaN as in `number_of`."""
    table = [[number_of(row, name) for name in names] for row in rows]
    return tuple(np.array(table, dtype=np.float64).reshape(-1, len(names)).T)
