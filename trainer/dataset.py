"""Datasets and bars as the settings of a run or of a contract describe them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from features.bars import Bars, validate_bars
from features.cache import FeatureCache
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelSpec
from features.settings import read_features
from features.sources import open_source
from trainer.config import TrainConfig


def make_builder(config: TrainConfig) -> DatasetBuilder:
    """Return the dataset builder that the settings of a run describe."""
    interval = Interval.parse(config.interval)
    chosen = read_features(config.features)
    return DatasetBuilder(
        source=open_source(config.source),
        interval=interval,
        features=FeatureSet.from_config(chosen, interval=interval),
        label=LabelSpec(config.task, config.horizon),
        cache=FeatureCache(Path(config.cache_folder)) if config.cache else None,
        max_gap_bars=config.max_gap_bars,
        calendar=config.calendar,
        allow_jumps=config.allow_jumps,
    )


def read_bars(source: str, symbol: str, interval: str, *, calendar: str, allow_jumps: bool) -> Bars:
    """Read and validate the bars of a symbol.

    Parameters
    ----------
    source : str
        Folder of bars, or ``sample``.
    symbol, interval, calendar : str
    allow_jumps : bool
        Whether moves that look like splits are accepted.

    Raises
    ------
    InputError
        If there are no such bars, or they do not pass `features.bars.validate_bars`.
    """
    raw = open_source(source).read(symbol, interval)
    return validate_bars(
        raw.frame,
        symbol=symbol,
        interval=Interval.parse(interval),
        calendar=calendar,
        allow_jumps=allow_jumps,
        now=pd.Timestamp.now("UTC"),
    )
