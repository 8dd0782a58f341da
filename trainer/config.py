"""The options of a training run: names, defaults, rules, help texts."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.config import JsonDict

import adapters
from barwright import BarwrightError
from features.calendar_option import check_calendar
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelKind
from features.settings import read_features, read_settings
from features.sources import check_symbol, open_source, symbols_of
from trainer.errors import TrainerError, UsageError
from trainer.serving.calibrators import CalibrationMethod
from trainer.serving.rules import RuleName, RuleSettings, SelectionName
from trainer.statistics.costs import Costs


class Effect(StrEnum):
    """Effect of an option on a trained model: each option names one.

    ``SETTING``: the option changes the model, and its value is stored in config_snapshot.json.
    ``INPUT``: the option names what the model is made from. The model stores that itself: model and
    symbol in its contract, bars as a digest, features as a signature.
    ``RUN``: the option changes no model, so that equal models have equal files whatever its value.
    """

    SETTING = "setting"
    INPUT = "input"
    RUN = "run"


_SETTING: JsonDict = {"effect": Effect.SETTING}
_INPUT: JsonDict = {"effect": Effect.INPUT}
_RUN: JsonDict = {"effect": Effect.RUN}


#: Words for types in messages.
_TYPES = {
    "integer": "a whole number", "number": "a number", "string": "text", "tuple": "a list",
    "dictionary": "a mapping of names to values",
}  # fmt: skip


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _expand_home(value: object) -> object:
    return os.path.expanduser(value) if isinstance(value, str) else value  # noqa: PTH111


def _parse_switch(value: object) -> object:
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


def _parse_span(value: object) -> object:
    if value in ("off", "h"):
        return 0 if value == "off" else value
    if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
        return int(value)
    raise ValueError("must be off, h or a number of bars")


def _parse_features(value: object) -> object:
    """Turn the content of a features file, as a run file has it, into a text."""
    if not isinstance(value, dict):
        return value
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1_000_000)


def _parse_params(value: object) -> object:
    """Read ``gru.hidden=128,lightgbm.num_leaves=7`` into ``{"gru": {"hidden": 128}, ...}``.

    A text that ends in .yaml or .yml is the name of a file with the same mapping.
    """
    if not isinstance(value, str):
        return value
    if value.endswith((".yaml", ".yml")):
        return _read_params(Path(value))
    params: dict[str, dict[str, object]] = {}
    for part in filter(None, (p.strip() for p in value.split(","))):
        name, equals, text = part.partition("=")
        model, dot, key = name.strip().partition(".")
        if not (equals and model and dot and key):
            raise ValueError("must read model.name=value")
        if key in params.setdefault(model, {}):
            raise ValueError(f"must set {name} once")
        params[model][key] = _parse_value(text.strip())
    return params


def _read_params(path: Path) -> object:
    data = read_settings(path, "params")
    if not all(isinstance(v, dict) for v in data.values()):
        raise InputError(
            f"`params` file {str(path)!r} must map models to their hyperparameters; write for "
            "example gru: {hidden: 16}"
        )
    return data


def _parse_value(text: str) -> int | float | bool | str:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _parse_study(value: object) -> object:
    # It becomes a part of a condition of MLflow's search.
    if value and not (isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16}", value)):
        raise ValueError(
            f"`--search` must be the name of a study, 16 digits 0-9 and a-f, got {value!r}; "
            "`barwright search` prints it"
        )
    return value


def check_fit_cache_folder(value: str) -> str:
    """Return `value` if it is a folder or ``s3://bucket/prefix``.

    Raises
    ------
    UsageError
        If it is another address.
    """
    if (":/" in value or not value) and not _BUCKET_AND_PREFIX.fullmatch(value):
        raise UsageError(
            f"`--fit-cache-folder` must be a folder or s3://bucket/prefix, got {value!r}; names in "
            "it have letters, digits, '.', '-', '_' and '='"
        )
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Switch = Annotated[bool, BeforeValidator(_parse_switch)]
Span = Annotated[Literal["h"] | Annotated[int, Field(ge=0, le=1_000)], BeforeValidator(_parse_span)]
#: Shells leave a ~ alone in `--source=~/bars`, and so does YAML.
Place = Annotated[str, BeforeValidator(_expand_home)]
Study = Annotated[str, BeforeValidator(_parse_study)]
Features = Annotated[str, BeforeValidator(_parse_features)]
Params = Annotated[dict[str, dict[str, int | float | bool | str]], BeforeValidator(_parse_params)]


#: In place of names: all of them. No name has this character.
ALL = "@all"

#: The parts of s3://bucket/prefix.
_BUCKET_AND_PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.=-]+)*/?", re.ASCII)

#: Options that say where the workers are.
CLUSTER_OPTIONS = (
    "scheduler", "scheduler_file", "tls_ca_file", "tls_cert", "tls_key", "insecure_scheduler",
    "worker_timeout",
)  # fmt: skip


class TrainConfig(BaseModel):
    """Validated options of a training run; their descriptions are the help of the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    symbols: Names = Field(
        description="Symbols, comma-separated: EURUSD or BTCUSDT,ETHUSDT; @all for every symbol "
        "of which the source has bars at the interval.",
        json_schema_extra=_INPUT,
    )
    models: Names = Field(
        ("gru", "lightgbm", "ppo"),
        description=f"Models to train for each symbol: {', '.join(adapters.names())}.",
        json_schema_extra=_INPUT,
    )
    source: Place = Field(
        "data/bars",
        description="Where bars come from: a folder of "
        "{symbol}_{interval}.parquet|csv|csv.gz|csv.zip|feather files, `sample` for the real bars "
        "of PyPI packages (EURUSD 1h; GOOGL, SP500, NASDAQ 1d), or `synthetic` for made-up bars "
        "(SYNTHETIC 1h).",
        json_schema_extra=_INPUT,
    )
    interval: str = Field(
        "1h", description="Bar length: 15m, 1h, 4h, 1d, ...", json_schema_extra=_SETTING
    )
    task: LabelKind = Field(
        "direction",
        description="Label kind: what to predict over the horizon.",
        json_schema_extra=_SETTING,
    )
    horizon: int = Field(
        12,
        ge=1,
        le=10_000,
        description="Bars over which a label is read.",
        json_schema_extra=_SETTING,
    )
    n_splits: int = Field(
        5, ge=2, le=100, description="Folds of the purged K-fold.", json_schema_extra=_SETTING
    )
    embargo: int = Field(
        100,
        ge=0,
        description="Bars after a test fold's last label that are not trained on.",
        json_schema_extra=_SETTING,
    )
    wf_splits: int = Field(
        5,
        ge=2,
        le=100,
        description="Walk-forward blocks that the headline is measured on.",
        json_schema_extra=_SETTING,
    )
    fee_bps: float = Field(
        10.0,
        ge=0,
        le=1_000,
        description="Fee per side, basis points.",
        json_schema_extra=_SETTING,
    )
    slippage_bps: float = Field(
        5.0,
        ge=0,
        le=1_000,
        description="Slippage per side, basis points.",
        json_schema_extra=_SETTING,
    )
    calibration: CalibrationMethod = Field(
        "platt", description="How scores become probabilities.", json_schema_extra=_SETTING
    )
    null_runs: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Number of null runs: each repeats the walk-forward on bars whose returns were "
        "shuffled in blocks, where nothing can be found, and takes as long as the walk-forward.",
        json_schema_extra=_SETTING,
    )
    allow_short: Switch = Field(
        True, description="Whether positions may be short.", json_schema_extra=_SETTING
    )
    position: RuleName = Field(
        "threshold",
        description="Rule for positions: `threshold` is in the market while the probability "
        "reaches the threshold; `exit` enters there and holds until the probability falls below "
        "0.5; `break-even` enters where the expected move pays for its round trip, and leaves at "
        "0.5.",
        json_schema_extra=_SETTING,
    )
    smooth: Span = Field(
        0,
        description="Smooths the probabilities before the rule: exponentially weighted mean of "
        "their log-odds over this span of bars; a number, `h` for the horizon, or off.",
        json_schema_extra=_SETTING,
    )
    volatility_window: int = Field(
        72,
        ge=2,
        le=10_000,
        description="Returns from which `break-even` takes the volatility.",
        json_schema_extra=_SETTING,
    )
    selection: SelectionName = Field(
        "best",
        description="When the best of 50 thresholds is used, otherwise the model does not trade: "
        "`best` if it earned anything out of fold, `deflated` if it earned more than luck gives "
        "the best of so many.",
        json_schema_extra=_SETTING,
    )
    against: Literal["none", "hold", "momentum"] = Field(
        "none",
        description="Baseline that a *proven* model must beat: `hold` is always long, `momentum` "
        "30-day momentum, on the same bars after the same costs.",
        json_schema_extra=_RUN,
    )
    features: Features = Field(
        "",
        description="Groups of features, as returns,volatility, or a YAML file with `groups`, "
        "`windows` and `timeframes`.",
        json_schema_extra=_INPUT,
    )
    search: Study = Field(
        "",
        description="Study of `barwright search` that chose these settings: its trials become a "
        "part of the evidence and of the report.",
        json_schema_extra=_RUN,
    )
    params: Params = Field(
        default_factory=dict,
        description="Hyperparameters, as gru.hidden=16,lightgbm.num_leaves=7 or a YAML file that "
        "maps models to theirs.",
        json_schema_extra=_SETTING,
    )
    cache: Switch = Field(True, description="Feature cache.", json_schema_extra=_RUN)
    cache_folder: Place = Field(
        "data/features", description="Folder of the feature cache.", json_schema_extra=_RUN
    )
    fit_cache: Switch = Field(
        True,
        description="Cache of fitted models: an earlier fit to equal rows with equal settings is "
        "read.",
        json_schema_extra=_RUN,
    )
    fit_cache_folder: Place = Field(
        "data/fits",
        min_length=1,
        description="Folder of the fit cache, or s3://bucket/prefix, which several machines may "
        "share; keys and endpoint of S3 come from the variables AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL.",
        json_schema_extra=_RUN,
    )
    unchanged: Literal["keep", "train"] = Field(
        "keep",
        description="What happens to a model whose newest version was trained on the same bars "
        "with the same settings, code and libraries: `keep` that version, or `train` another one.",
        json_schema_extra=_RUN,
    )
    calendar: str = Field(
        "auto",
        description="Trading calendar: 24/7 (crypto), 24/5 (currencies), or an exchange, as XNYS, "
        "XETR or CMES, with the hours of the bars; XNYS@04:00-20:00 or XNYS@regular for given "
        "hours. auto infers it from the times of the bars.",
        json_schema_extra=_SETTING,
    )
    max_gap_bars: int = Field(
        24,
        ge=0,
        description="Rows that span more missing bars than this are dropped.",
        json_schema_extra=_SETTING,
    )
    allow_jumps: Switch = Field(
        False,
        description="Accept one-bar moves that look like unadjusted splits.",
        json_schema_extra=_SETTING,
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Device on which gru and ppo are fitted; auto uses a GPU if there is one. "
        "Other models are fitted on the CPU.",
        json_schema_extra=_SETTING,
    )
    max_workers: int = Field(
        4,
        ge=1,
        le=256,
        description="Worker processes of this machine at most; there are never more than "
        "processors.",
        json_schema_extra=_RUN,
    )
    scheduler: str = Field(
        "",
        description="Dask scheduler whose workers make the fits, as tls://host:8786. By default "
        "they are processes of this machine.",
        json_schema_extra=_RUN,
    )
    scheduler_file: str = Field(
        "",
        description="File that `dask scheduler --scheduler-file` wrote, in place of --scheduler.",
        json_schema_extra=_RUN,
    )
    tls_ca_file: str = Field(
        "",
        description="File (PEM) of the authority that signed the certificates of the cluster.",
        json_schema_extra=_RUN,
    )
    tls_cert: str = Field(
        "", description="File (PEM) of the certificate of this command.", json_schema_extra=_RUN
    )
    tls_key: str = Field(
        "", description="File (PEM) of the key of this certificate.", json_schema_extra=_RUN
    )
    insecure_scheduler: Switch = Field(
        False,
        description="Accept a scheduler of another machine without TLS: whoever reaches its port "
        "can run code on all of its machines.",
        json_schema_extra=_RUN,
    )
    worker_timeout: int = Field(
        120,
        ge=1,
        le=1_000_000,
        description="Seconds without any worker after which the command ends; raise it for "
        "clusters whose workers wait in a queue.",
        json_schema_extra=_RUN,
    )
    seed: int = Field(
        42,
        ge=0,
        lt=2**31,
        description="The seed of each symbol and model is computed from it.",
        json_schema_extra=_SETTING,
    )
    experiment: str = Field(
        "barwright", min_length=1, description="MLflow experiment.", json_schema_extra=_RUN
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return the validated options from plain values, e.g. those of the command line.

        Raises
        ------
        TrainerError
            One sentence for each mistake: option, rule, value.
        """
        for name in values:
            if name not in cls.model_fields:
                near = get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else "; see --help"
                raise TrainerError(f"there is no option {name!r}{hint}")
        try:
            config = cls(**values)
        except ValidationError as error:
            raise TrainerError(_explain(error)) from error
        try:
            config = config._with_all_symbols()
            config._check_rules()
        except TrainerError:
            raise
        except BarwrightError as error:
            raise TrainerError(str(error)) from error
        return config

    def _with_all_symbols(self) -> Self:
        """Return the options with every symbol of the source, if they ask for all."""
        if self.symbols != (ALL,):
            return self
        symbols = symbols_of(open_source(self.source), self.interval)
        return self.model_copy(update={"symbols": symbols})

    def _check_rules(self) -> None:
        """Raise for a value that breaks a rule of another room, or two that exclude each other."""
        self._check_names()
        self._check_params()
        interval = Interval.parse(self.interval)
        check_calendar(self.calendar)
        check_fit_cache_folder(self.fit_cache_folder)
        open_source(self.source)
        if self.features:
            FeatureSet.from_config(read_features(self.features), interval=interval)
        if self.task == "forward_return" and self.calibration == "none":
            raise TrainerError(
                "`--calibration` none needs scores that are probabilities, and the task "
                "forward_return gives returns; use platt, isotonic or auto"
            )

    def _check_names(self) -> None:
        for option, names, example in (
            ("symbols", self.symbols, "--symbols EURUSD --source sample"),
            ("models", self.models, "lightgbm"),
        ):
            if not names:
                raise TrainerError(
                    f"`--{option}` must name at least one, got none; for example {example}"
                )
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise TrainerError(
                    f"`--{option}` names {sorted(repeated)[0]!r} twice; name it once"
                )
        for symbol in self.symbols:
            if symbol.startswith("@"):
                raise TrainerError(f"`--symbols` must be names, or {ALL} alone, got {symbol!r}")
            check_symbol(symbol)
        for model in self.models:
            adapters.check_name(model)

    def _check_params(self) -> None:
        for model in self.params:
            adapters.check_name(model)
            if model not in self.models:
                raise TrainerError(
                    f"`--params` sets {model!r}, which is not trained; models are "
                    f"{', '.join(self.models)}"
                )
            # Only the models with parameters to check are imported.
            adapters.find(model)(task="classification", params=self.params[model])

    @classmethod
    def effect_of(cls, option: str) -> Effect:
        """Return the effect of an option on a trained model.

        Examples
        --------
        >>> TrainConfig.effect_of("horizon").value, TrainConfig.effect_of("max_workers").value
        ('setting', 'run')
        """
        extra = cast(JsonDict, cls.model_fields[option].json_schema_extra)
        return Effect(str(extra["effect"]))

    def model_settings(self) -> dict[str, Any]:
        """Return the options that are stored with every model, as JSON values."""
        names = type(self).model_fields
        stored = {name for name in names if self.effect_of(name) is Effect.SETTING}
        return self.model_dump(mode="json", include=stored)

    @property
    def rule(self) -> RuleSettings:
        """Settings of the position rule."""
        return RuleSettings(
            kind=self.position,
            allow_short=self.allow_short,
            smooth=self.horizon if self.smooth == "h" else self.smooth,
            cost=self.costs.share,
            horizon=self.horizon,
            window=self.volatility_window,
            selection=self.selection,
        )

    def logged(self) -> dict[str, Any]:
        """Return the options that a run keeps: all but where its workers were."""
        return self.model_dump(exclude=set(CLUSTER_OPTIONS))

    @property
    def is_remote(self) -> bool:
        """Whether the workers are those of a cluster."""
        return bool(self.scheduler or self.scheduler_file)

    @property
    def n_jobs(self) -> int:
        """Number of jobs: one for each model of each symbol."""
        return len(self.symbols) * len(self.models)

    @property
    def n_fits(self) -> int:
        """Number of fits of one job.

        Each walk-forward, also that of each null run, has `wf_splits` procedures. The production
        model has one. A procedure has one fit per fold and one on all rows.
        """
        return (self.wf_splits * (1 + self.null_runs) + 1) * (self.n_splits + 1)

    @property
    def costs(self) -> Costs:
        """Costs of trading, per side."""
        return Costs(self.fee_bps, self.slippage_bps)

    def seed_of(self, symbol: str, model: str) -> int:
        """Return the seed of a job; it depends on nothing but seed, symbol and model."""
        digest = hashlib.sha256(f"{self.seed}|{symbol}|{model}".encode()).digest()
        return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def option_name(field: str) -> str:
    """Return the command-line spelling of a field.

    Examples
    --------
    >>> option_name("max_gap_bars")
    '--max-gap-bars'
    """
    return "--" + field.replace("_", "-")


def option_text(value: object) -> str:
    """Return the value of a field as the command line takes it.

    Examples
    --------
    >>> option_text(True), option_text(10.0), option_text(("gru", "ppo"))
    ('on', '10', 'gru,ppo')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _explain(error: ValidationError) -> str:
    """Return one sentence for each option that pydantic refused."""
    # Only the first error of an option: a union of types has one error for each of its types.
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
        rule = rule.split(", unable")[0].replace(", got a number with a fractional part", "")
        for type_name, words in _TYPES.items():
            rule = rule.replace(f"a valid {type_name}", words)
        if rule.startswith("`"):
            lines.setdefault(field, rule)  # a complete sentence of another room
            continue
        # The name of the hyperparameter, because an option may set many.
        inside = ".".join(map(str, item["loc"][1:3]))
        which = f"{option_name(field)} {inside}" if inside else option_name(field)
        value = "nothing" if item["input"] is None else repr(item["input"])
        text = f"`{which}` {rule}, got {value}; see --help"
        lines.setdefault(field, text)
    return "\n".join(lines.values())
