"""Names of runs: what is trained, and the settings that differ from the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import adapters
from trainer.config import Effect, TrainConfig, option_text
from trainer.job import Job

#: Characters of a name, as far as MLflow's table of runs has room for it.
_LONGEST = 80
#: Options that are no part of a list of settings: names of jobs contain symbols and models, what
#: matters of the source is the data, and hyperparameters follow the options.
_ELSEWHERE = {"symbols", "models", "source", "params"}


def job_run_name(job: Job, config: TrainConfig) -> str:
    """Return the name of a job's run.

    Returns
    -------
    str
        ``lightgbm-EURUSD`` if all settings are the defaults, or else for example ``lightgbm-EURUSD
        fee_bps=5 horizon=24 num_leaves=7``: options that change a model, by name, then the
        hyperparameters of the model, by name.
    """
    changed = _changed_params(config, job.model)
    return _shortened(job.name, [*_changed_options(config), *_assignments(changed)])


def command_run_name(config: TrainConfig, command: str = "train") -> str:
    """Return the name of a command's run.

    Parameters
    ----------
    config : TrainConfig
    command : {"train", "search"}

    Returns
    -------
    str
        For example ``train EURUSD GBPUSD models=gru fee_bps=5 gru.hidden=16``; the parts are those
        of `job_run_name`.
    """
    parts = list(config.symbols)
    if config.models != TrainConfig.model_fields["models"].default:
        parts.append(f"models={option_text(config.models)}")
    parts += _changed_options(config)
    for model in config.models:
        changed = _changed_params(config, model)
        parts += _assignments({f"{model}.{name}": value for name, value in changed.items()})
    return _shortened(command, parts)


def _changed_options(config: TrainConfig) -> list[str]:
    """Return the options that change a model and differ from their defaults, by name."""
    changed = {}
    for name, field in TrainConfig.model_fields.items():
        if name in _ELSEWHERE or TrainConfig.effect_of(name) is Effect.RUN:
            continue
        value = getattr(config, name)
        if value != field.default:
            changed[name] = _features_name(value) if name == "features" else value
    return _assignments(changed)


def _features_name(features: str) -> str:
    # A run file has the content of a file in place of its name.
    return "own" if features.startswith("{") else Path(features).name


def _changed_params(config: TrainConfig, model: str) -> dict[str, Any]:
    """Return the hyperparameters of a model that differ from the defaults of its adapter."""
    given = config.params.get(model)
    if not given:
        return {}
    # Checking the hyperparameters has imported the adapter already.
    defaults = adapters.find(model).defaults
    return {name: value for name, value in given.items() if value != defaults.get(name)}


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={option_text(value)}" for name, value in sorted(values.items())]


def _shortened(head: str, parts: Iterable[str]) -> str:
    """Return head and parts; the last parts are counted only, as ``+2 more``, if there is no room.

    Examples
    --------
    >>> _shortened("gru-X", ["fee_bps=5", "horizon=24"])
    'gru-X fee_bps=5 horizon=24'
    >>> _shortened("gru-X", [60 * "a", "horizon=24", "seed=7"])[-9:]
    'a +2 more'
    """
    words = list(parts)
    for kept in range(len(words), -1, -1):
        rest = len(words) - kept
        name = " ".join([head, *words[:kept], *([f"+{rest} more"] if rest else [])])
        if len(name) <= _LONGEST:
            break
    return name
