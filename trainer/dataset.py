"""Builds the dataset builder that a run's settings describe."""

from __future__ import annotations

from pathlib import Path

from features.cache import FeatureCache
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelSpec
from features.settings import read_settings
from features.sources import open_source
from trainer.config import TrainConfig


def make_builder(config: TrainConfig) -> DatasetBuilder:
    """Turn settings into the dataset builder that they describe."""
    interval = Interval.parse(config.interval)
    chosen = read_settings(Path(config.features), "features") if config.features else {}
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
