"""The one description of a training run: every option, its default and its rule."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

import adapters
from adapters.base import AdapterError
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from features.settings import read_settings
from features.sources import check_symbol, open_source
from trainer.errors import TrainerError
from trainer.statistics.costs import Costs


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _switch(value: object) -> object:
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


def _param_map(value: object) -> object:
    """Read ``gru.hidden=128,lightgbm.num_leaves=7`` into ``{"gru": {"hidden": 128}, ...}``.

    A text that ends in .yaml or .yml is a file of the same mapping.
    """
    if not isinstance(value, str):
        return value
    if value.endswith((".yaml", ".yml")):
        return _param_file(Path(value))
    params: dict[str, dict[str, object]] = {}
    for part in filter(None, (p.strip() for p in value.split(","))):
        name, equals, text = part.partition("=")
        model, dot, key = name.strip().partition(".")
        if not (equals and model and dot and key):
            raise ValueError("must read model.name=value")
        if key in params.setdefault(model, {}):
            raise ValueError(f"must set {name} once")
        params[model][key] = _number(text.strip())
    return params


def _param_file(path: Path) -> object:
    data = read_settings(path, "params")
    if not all(isinstance(v, dict) for v in data.values()):
        raise InputError(
            f"`params` file {str(path)!r} must map models to their hyperparameters; write for "
            "example gru: {hidden: 16}"
        )
    return data


def _number(text: str) -> int | float | bool | str:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


Names = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Params = Annotated[dict[str, dict[str, int | float | bool | str]], BeforeValidator(_param_map)]


class TrainConfig(BaseModel):
    """A validated training run. Descriptions are the command line's help."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    symbols: Names = Field(description="Symbols, comma-separated: EURUSD or BTCUSDT,ETHUSDT.")
    models: Names = Field(
        ("gru", "lightgbm", "ppo"),
        description=f"Models to train for each symbol: {', '.join(adapters.names())}.",
    )
    source: str = Field(
        "data/bars",
        description="Where bars come from: a folder of {symbol}_{interval}.parquet|csv|feather "
        "files, or `sample` for the real bars of a PyPI package (EURUSD 1h, GOOGL 1d).",
    )
    interval: str = Field("1h", description="Bar length: 15m, 1h, 4h, 1d, ...")
    task: Literal["direction", "forward_return", "triple_barrier"] = Field(
        "direction", description="What to predict over the horizon."
    )
    horizon: int = Field(12, ge=1, le=10_000, description="Bars that an outcome is read over.")
    n_splits: int = Field(5, ge=2, le=100, description="Folds of the purged K-fold.")
    embargo: int = Field(
        100, ge=0, description="Bars after a test fold's last label that are not trained on."
    )
    wf_splits: int = Field(
        5, ge=2, le=100, description="Walk-forward blocks that the headline is measured on."
    )
    fee_bps: float = Field(10.0, ge=0, le=1_000, description="Fee per side, basis points.")
    slippage_bps: float = Field(5.0, ge=0, le=1_000, description="Slippage per side, basis points.")
    calibration: Literal["platt", "isotonic", "none", "auto"] = Field(
        "platt", description="How scores become probabilities."
    )
    null_runs: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Repeat the walk-forward so often on bars whose returns were shuffled in "
        "blocks: the headline with nothing to find. Each takes as long as the walk-forward.",
    )
    allow_short: Switch = Field(True, description="Whether positions may be short.")
    features: str = Field("", description="YAML file with `groups` and `windows` of features.")
    params: Params = Field(
        default_factory=dict,
        description="Hyperparameters, as gru.hidden=16,lightgbm.num_leaves=7 or a YAML file that "
        "maps models to theirs.",
    )
    cache: Switch = Field(True, description="Feature cache.")
    cache_folder: str = Field("data/features", description="Folder of the feature cache.")
    fit_cache: Switch = Field(
        True,
        description="Cache of fitted models: what was fitted before, to equal rows with equal "
        "settings, is read.",
    )
    fit_cache_folder: str = Field("data/fits", description="Folder of the fit cache.")
    calendar: Literal["auto", "24/7", "24/5", "equity"] = Field(
        "auto", description="Trading calendar, for gaps and annualising."
    )
    max_gap_bars: int = Field(
        24, ge=0, description="Rows that span more missing bars than this are dropped."
    )
    allow_jumps: Switch = Field(
        False, description="Accept one-bar moves that look like unadjusted splits."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where gru and ppo are fitted; auto takes a GPU if there is one. Other models "
        "are fitted on the CPU.",
    )
    max_workers: int = Field(4, ge=1, le=256, description="Worker processes at most.")
    seed: int = Field(
        42, ge=0, lt=2**31, description="Each symbol and model draws its own seed from it."
    )
    experiment: str = Field("barwright", min_length=1, description="MLflow experiment.")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate plain values, e.g. those of the command line.

        Raises
        ------
        TrainerError
            One sentence a mistake: option, rule, value.
        """
        for name in values:
            if name not in cls.model_fields:
                near = get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TrainerError(f"there is no option {name!r}{hint}")
        try:
            config = cls(**values)
        except ValidationError as error:
            raise TrainerError(_explain(error)) from error
        try:
            config._check_names()
        except (InputError, AdapterError) as error:
            raise TrainerError(str(error)) from error
        return config

    def _check_names(self) -> None:
        for what, given in (("symbols", self.symbols), ("models", self.models)):
            if not given:
                raise TrainerError(
                    f"`--{what}` must name at least one, got none; for example "
                    + ("--symbols EURUSD --source sample" if what == "symbols" else "lightgbm")
                )
            twice = {name for name in given if given.count(name) > 1}
            if twice:
                raise TrainerError(f"`--{what}` names {sorted(twice)[0]!r} twice; name it once")
        for symbol in self.symbols:
            check_symbol(symbol)
        for model in self.models:
            adapters.check_name(model)
        for model in self.params:
            adapters.check_name(model)
            if model not in self.models:
                raise TrainerError(
                    f"`--params` sets {model!r}, which is not trained; models are "
                    f"{', '.join(self.models)}"
                )
            # Only this model is imported, and only if there is something to check.
            adapters.find(model)(task="classification", params=self.params[model])
        interval = Interval.parse(self.interval)
        open_source(self.source)
        if self.features:
            chosen = read_settings(Path(self.features), "features")
            FeatureSet.from_config(chosen, interval=interval)
        if self.task == "forward_return" and self.calibration == "none":
            raise TrainerError(
                "`--calibration` none needs scores that are probabilities, and the task "
                "forward_return gives returns; use platt, isotonic or auto"
            )

    @property
    def surely_needed(self) -> tuple[str, ...]:
        """Models that a process may import before it is told which: the only one, or none.

        Importing three libraries takes seconds, and a process mostly meets one of them.
        """
        return self.models if len(self.models) == 1 else ()

    @property
    def n_fits(self) -> int:
        """Fits of one task: each walk-forward, null runs too, and the production procedure."""
        return (self.wf_splits * (1 + self.null_runs) + 1) * (self.n_splits + 1)

    @property
    def costs(self) -> Costs:
        """Costs of trading, per side."""
        return Costs(self.fee_bps, self.slippage_bps)

    def seed_of(self, symbol: str, model: str) -> int:
        """Seed of one fit: the same whatever the workers and the order of the symbols."""
        digest = hashlib.sha256(f"{self.seed}|{symbol}|{model}".encode()).digest()
        return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def option_name(field: str) -> str:
    """Command-line spelling of a field."""
    return "--" + field.replace("_", "-")


def _explain(error: ValidationError) -> str:
    # One line a field: a union of types would otherwise say of each why it was not that one.
    lines: dict[str, str] = {}
    for item in error.errors():
        field = str(item["loc"][0])
        if item["type"] == "missing":
            lines.setdefault(field, f"`{option_name(field)}` must be given; see --help")
            continue
        rule = item["msg"].replace("Input should", "must").replace("String should", "must")
        rule = rule.replace("Value error, ", "")
        if rule.startswith("must be a valid boolean"):
            rule = "must be on or off"
        rule = rule.split(", unable")[0]
        if rule.startswith("`"):
            lines.setdefault(field, rule)  # a whole sentence, by another room
            continue
        # Of hyperparameters, which one: there may be many.
        inside = ".".join(map(str, item["loc"][1:3]))
        which = f"{option_name(field)} {inside}" if inside else option_name(field)
        text = f"`{which}` {rule}, got {item['input']!r}; see --help"
        lines.setdefault(field, text)
    return "\n".join(lines.values())
