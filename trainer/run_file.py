"""A run file: the options of a training command as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from features.errors import InputError
from features.settings import are_groups, read_features, read_settings
from trainer.config import CLUSTER_OPTIONS, TrainConfig
from trainer.job import Job


def read_run_file(path: str) -> dict[str, Any]:
    """Return the options of a run file, by name; `TrainConfig.parse` checks them.

    Parameters
    ----------
    path : str
        A file that `run_file_text` wrote, or a part of one. Names may have ``-`` or ``_``.

    Raises
    ------
    InputError
        If the file is missing, is not a YAML mapping, or gives an option twice.
    """
    options: dict[str, Any] = {}
    for written, value in read_settings(Path(path), "config").items():
        name = str(written).replace("-", "_")
        if name in options:
            raise InputError(f"`config` file {path!r} gives {name!r} twice; keep one of them")
        options[name] = value
    return options


def run_file_text(config: TrainConfig, *, cluster: bool = True) -> str:
    """Return every option of a command as the text of a run file.

    It has the content of a features file, not its name, so that it means the same everywhere.

    Parameters
    ----------
    config : TrainConfig
    cluster : bool, default True
        Whether the options that say where the workers are belong to it.

    Examples
    --------
    >>> config = TrainConfig.parse({"symbols": "EURUSD", "source": "sample", "models": "gru"})
    >>> print(run_file_text(config)[:59])
    symbols:
    - EURUSD
    models:
    - gru
    source: sample
    interval: 1h
    """
    options = config.model_dump(mode="json", exclude=None if cluster else set(CLUSTER_OPTIONS))
    if not are_groups(config.features):
        options["features"] = read_features(config.features)
    return yaml.safe_dump(options, sort_keys=False, allow_unicode=True)


def job_run_file(job: Job, config: TrainConfig) -> str:
    """Return the text of a run file that trains one job of a command again.

    Examples
    --------
    >>> config = TrainConfig.parse({"symbols": "A,B", "source": "sample", "models": "gru,ppo"})
    >>> print(job_run_file(Job("B", "gru"), config)[:27])
    symbols:
    - B
    models:
    - gru
    """
    own = {name: values for name, values in config.params.items() if name == job.model}
    only = {"symbols": (job.symbol,), "models": (job.model,), "params": own}
    return run_file_text(config.model_copy(update=only), cluster=False)
