"""A run file: the options of a training command as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from features.settings import read_settings
from trainer.config import TrainConfig


def read_run_file(path: str) -> dict[str, Any]:
    """Return the options of a run file, by name; `TrainConfig.parse` checks them.

    Parameters
    ----------
    path : str
        A file that `run_file_text` wrote, or a part of one. Names may have ``-`` or ``_``.

    Raises
    ------
    InputError
        If the file is missing, or is not a YAML mapping.
    """
    return {
        str(name).replace("-", "_"): v for name, v in read_settings(Path(path), "config").items()
    }


def run_file_text(config: TrainConfig) -> str:
    """Return every option of a command as the text of a run file.

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
    options: Mapping[str, Any] = config.model_dump(mode="json")
    return yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
