"""The fit cache that the settings of a job name.

A command without anything to train needs no other part of the fits, whose imports take a while.
"""

from __future__ import annotations

import functools

from trainer.config import TrainConfig
from trainer.procedure.fit_cache import FitCache


def fit_cache_of(config: TrainConfig) -> FitCache | None:
    """Return the fit cache of these settings, the same one each time; None without one."""
    return _opened(config.fit_cache_folder) if config.fit_cache else None


def check_fit_cache(config: TrainConfig) -> None:
    """Check that the fit cache can be used, before time is spent on fits.

    Raises
    ------
    TrainerError
        If it cannot.
    """
    if cache := fit_cache_of(config):
        cache.check()


def fit_cache_of_worker(config: TrainConfig) -> FitCache | None:
    """Return the fit cache for a job that one worker does alone.

    A worker of a cluster has none: neither the folders of its machine nor its keys are the user's.
    """
    return None if config.is_remote else fit_cache_of(config)


@functools.cache
def _opened(address: str) -> FitCache:
    """Return the cache of an address: a process has one, which warns once if its place fails."""
    return FitCache.at(address)
