"""The space of a search: settings that it varies, each with its range or its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import adapters
from adapters.base import Range, Value
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LABEL_KINDS
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.search.trial import Trial

#: Options that a search varies, unless the command gives them a value.
SEARCHED_OPTIONS = ("task", "horizon", "position", "smooth", "features")
HORIZONS = (3, 6, 12, 24, 48)


@dataclass(frozen=True)
class Space:
    """The settings that a study varies.

    Attributes
    ----------
    dimensions : dict of str to Range or tuple of value
        By name: options as ``horizon``, hyperparameters as ``lightgbm.num_leaves``.
    start : dict of str to value
        The settings of the command itself: those of trial 0.
    """

    dimensions: dict[str, Range | tuple[Value, ...]]
    start: dict[str, Value]

    @classmethod
    def of(cls, model: str, config: TrainConfig, given: Mapping[str, Any]) -> Space:
        """Return the space of a model.

        Parameters
        ----------
        model : str
        config : TrainConfig
            Settings of the command.
        given : mapping of str to value
            Options that the command names; they are not varied.

        Raises
        ------
        TrainerError
            If every setting is given, so that nothing is left to vary.
        """
        free = {name for name in SEARCHED_OPTIONS if name not in given}
        if "position" in given and config.position == "exit":
            free.discard("smooth")  # it has no effect beside it: see `apply`
        choices: dict[str, Range | tuple[Value, ...]] = {
            "task": tuple(LABEL_KINDS),
            "horizon": HORIZONS,
            "position": ("threshold", "exit", "break-even"),
            "smooth": ("off", "h"),
            "features": ("", *_without_one_group(config.interval)),
        }
        if config.calibration == "none":  # scores of returns are no probabilities
            choices["task"] = tuple(kind for kind in LABEL_KINDS if kind != "forward_return")
        dimensions = {name: choices[name] for name in SEARCHED_OPTIONS if name in free}
        adapter, fixed = adapters.find(model), config.params.get(model, {})
        start: dict[str, Value] = {name: _text(config, name) for name in dimensions}
        for name, values in adapter.space.items():
            if name not in fixed:
                dimensions[f"{model}.{name}"] = values
                start[f"{model}.{name}"] = adapter.defaults[name]
        if not dimensions:
            raise TrainerError(
                f"there is nothing to search for {model}: every setting is given; leave out one "
                f"of --{', --'.join(SEARCHED_OPTIONS)} or a hyperparameter"
            )
        return cls(dimensions, start)

    def check(self, trials: Iterable[Trial]) -> None:
        """Check that stored trials have a value for each dimension, and no other ones.

        Raises
        ------
        TrainerError
            If one has not: its run was changed.
        """
        for trial in trials:
            if set(trial.values) != set(self.dimensions):
                raise TrainerError(
                    f"trial {trial.name} of this search was changed in the store: it has values "
                    f"of {', '.join(sorted(trial.values)) or 'nothing'}; delete its run, then give "
                    "the command again"
                )

    def apply(self, config: TrainConfig, values: Mapping[str, Value]) -> TrainConfig:
        """Return the settings with these values of the dimensions.

        ``smooth`` has no effect beside the rule ``exit``: the two together were worse than either.
        """
        options: dict[str, Any] = {}
        params = {model: dict(of_model) for model, of_model in config.params.items()}
        for name, value in values.items():
            model, dot, key = name.partition(".")
            if dot:
                params.setdefault(model, {})[key] = value
            else:
                options[name] = value
        smooth = options.get("smooth")
        if smooth is not None:
            holds = options.get("position", config.position) == "exit"
            options["smooth"] = 0 if smooth == "off" or holds else smooth
        return config.model_copy(update={**options, "params": params})


def _text(config: TrainConfig, name: str) -> Value:
    """Return the value of an option as the space writes it."""
    if name == "smooth":
        return "off" if config.smooth == 0 else config.smooth
    value: Value = getattr(config, name)
    return value


def _without_one_group(interval: str) -> tuple[str, ...]:
    """Return the groups of all features, without one of them, for each one."""
    columns = FeatureSet.build(interval=Interval.parse(interval)).columns
    groups = sorted({column.kind.group for column in columns})
    return tuple(
        ",".join(group for group in groups if group != left_out)
        for left_out in groups
        if len(groups) > 1
    )
