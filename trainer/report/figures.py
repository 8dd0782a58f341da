"""Every figure of a candidate as PNG bytes, from plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trainer.report.plotting import png
from trainer.report.returns import costs, equity
from trainer.report.scores import importance, reliability, thresholds
from trainer.report.spread import dispersion, null, regimes


def figures(evidence: Mapping[str, Any], series: pd.DataFrame) -> dict[str, bytes]:
    """Return every figure of a candidate as PNG bytes, by name, in the order to read them.

    Parameters
    ----------
    evidence : mapping
        What ``evidence.json`` holds; an undefined number is null.
    series : pandas.DataFrame
        One row a bar of the walk-forward: ``timestamp`` (UTC), ``position``, ``forward_return``.

    Returns
    -------
    dict of str to bytes
        ``equity, costs, dispersion, null, regimes, reliability, thresholds, importance``;
        ``null`` only where null runs were made.

    Raises
    ------
    TrainerError
        If a position or a return of `series` is not finite.
    """
    drawn = {"equity": equity(evidence, series), "costs": costs(evidence)}
    drawn["dispersion"] = dispersion(evidence)
    if evidence.get("null_net_sharpe"):
        drawn["null"] = null(evidence)
    drawn["regimes"] = regimes(evidence)
    drawn["reliability"] = reliability(evidence)
    drawn["thresholds"] = thresholds(evidence)
    drawn["importance"] = importance(evidence)
    return {name: png(figure) for name, figure in drawn.items()}
