"""Values of the smallest size, for tests of what is written about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Headline
from trainer.evidence.record import Record
from trainer.job import DataFacts, TrainedModel
from trainer.serving.contract import Contract

_EMPTY = np.zeros(0)


def trained_model(
    metrics: Mapping[str, float], data: Mapping[str, Any] | None = None, **changes: Any
) -> TrainedModel:
    """Return a trained GRU for BTCUSDT with an empty record.

    Parameters
    ----------
    metrics : mapping of str to float
        Metrics of its walk-forward, without prefix.
    data : mapping, optional
        Fields of its `DataFacts` that differ from those here.
    changes
        Fields of `TrainedModel` that differ from those here.
    """
    facts: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "interval": "1h",
        "bars": 12,
        "rows": 10,
        "first": "a",
        "last": "b",
        "dropped": {"warmup": 2},
        "gaps": {"gaps": 1, "missing_bars": 2, "longest": 2},
        "cache": "off",
        "understood": "BTCUSDT_1h.parquet",
        "digest": "",
    }
    fields: dict[str, Any] = {
        "folder": Path(),
        "contract": Contract(
            model="gru",
            symbol="BTCUSDT",
            interval="1h",
            calendar="24/7",
            task="direction",
            horizon=12,
            fee_bps=10.0,
            slippage_bps=5.0,
            max_gap_bars=24,
            allow_jumps=False,
        ),
        "headline": Headline(dict(metrics)),
        "evidence": Evidence(),
        "record": Record(_EMPTY.astype(np.int64), _EMPTY, _EMPTY, _EMPTY, _EMPTY),
        "figures": {},
        "curves": [],
        "params": {},
        "data": DataFacts(**{**facts, **(data or {})}),
        "seconds": {},
        "requirements": (),
    }
    return TrainedModel(**{**fields, **changes})
