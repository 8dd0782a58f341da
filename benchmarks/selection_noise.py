"""Study of the choice among thresholds: when the best of many is more than luck."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.measure import BenchmarkResult, Options
from benchmarks.study import COSTS, make_procedure, measure_all
from trainer.arrays import FloatArray, IntArray
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.walk_forward import walk_forward
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample
from trainer.procedure.selection import effective_number
from trainer.procedure.threshold_search import MIN_TRADES, ThresholdSearch, optimise_threshold
from trainer.serving.rules import RuleName, RuleSettings
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.bootstrap import sharpe_difference
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns, sharpe
from trainer.statistics.sharpe_inference import Moments, deflated_sharpe

_RULES: tuple[RuleName, ...] = ("threshold", "exit")
_BASE = "best"
_PIECES = 5
_RESAMPLES = 500
#: Bars of a block of the bootstrap; positions of these models last hours to days.
_BLOCK_BARS = 100
_SEED = 0
#: SYNTHETIC bars: name of a group, number of symbols, Sharpe ratio of the drift, correlation of one
#: log return with the next.
_GROUPS = {
    "noise": (16, 0.0, 0.0), "noise, drift 1": (16, 1.0, 0.0),
    "signal .1": (8, 0.0, 0.1), "signal .2": (8, 0.0, 0.2), "signal .3": (8, 0.0, 0.3),
}  # fmt: skip
_BARS = 12_000
_HOURS = 8_760


class _Past(NamedTuple):
    """What the choice of a block sees, on every bar of its past; then the block itself."""

    probability: FloatArray
    forward_return: FloatArray
    block_probability: FloatArray
    block_return: FloatArray
    block_times: pd.DatetimeIndex


@dataclass(frozen=True, eq=False)
class _Case:
    """One symbol and model: its blocks, and the bars of its year."""

    name: str
    blocks: list[_Past]
    periods_per_year: float


@dataclass(frozen=True, eq=False)
class _Curve:
    """Net returns of every threshold of a past.

    Attributes
    ----------
    net : float64 array of shape (n, k)
    ratio : float64 array of shape (k,)
        Annualised net Sharpe ratio; -inf for fewer than `MIN_TRADES` trades.
    periods_per_year : float
    """

    net: FloatArray
    ratio: FloatArray
    periods_per_year: float

    @property
    def best(self) -> int:
        """Index of the best threshold; of equal ones the highest."""
        return int(len(self.ratio) - 1 - np.argmax(self.ratio[::-1]))


@dataclass(frozen=True, eq=False)
class _Capturing(Procedure):
    """The procedure; it keeps what every search was given: probabilities and forward returns."""

    captured: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)

    def _search(self, sample: Sample, probability: FloatArray) -> ThresholdSearch:
        axis = BarAxis.of(sample.bar)
        self.captured.append(
            (axis.place(probability, np.nan), axis.place(sample.forward_return, 0.0))
        )
        return super()._search(sample, probability)


# --- ways to choose --------------------------------------------------------------------------


def _one_se(curve: _Curve) -> int | None:
    """The highest threshold within one standard error of the best (Breiman et al. 1984)."""
    best = curve.best
    moments = Moments.of(curve.net[:, best])
    error = np.sqrt(moments.inflation / (moments.n - 1) * curve.periods_per_year)
    least = curve.ratio[best] - error
    return int(np.flatnonzero(curve.ratio >= least)[-1]) if least > 0 else None


def _folds(curve: _Curve) -> int | None:
    """The best, if it earned in four of five parts of the past."""
    pieces = np.array_split(curve.net[:, curve.best], _PIECES)
    return curve.best if sum(piece.sum() > 0 for piece in pieces) >= _PIECES - 1 else None


def _bootstrap(level: float) -> Callable[[_Curve], int | None]:
    """The best, if the largest of all by luck is below it in this share of resamples.

    White (2000), with Sharpe ratios: every ratio is resampled about its own observed one, in blocks
    of bars, all thresholds with the same blocks.
    """

    def choose(curve: _Curve) -> int | None:
        usable = np.isfinite(curve.ratio)
        net = curve.net[:, usable]
        blocks = len(net) // _BLOCK_BARS
        cut = net[: blocks * _BLOCK_BARS].reshape(blocks, _BLOCK_BARS, -1)  # (b, bars, k)
        sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)  # (b, k)
        rng = np.random.default_rng(_SEED)
        times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=_RESAMPLES)  # (r, b)
        n = blocks * _BLOCK_BARS
        mean = times @ sums / n
        deviation = np.sqrt(np.maximum(times @ squares / n - mean**2, 1e-18))
        ratios = mean / deviation * np.sqrt(curve.periods_per_year)  # (r, k)
        luck = (ratios - curve.ratio[usable]).max(axis=1)
        below = np.mean(luck < curve.ratio[curve.best])
        return curve.best if below >= level else None

    return choose


def _deflated(level: float) -> Callable[[_Curve], int | None]:
    """The best, if its deflated Sharpe ratio reaches this level.

    The number of trials is the effective number of thresholds: from the eigenvalues of the
    correlations of their returns (Nyholt 2004).
    """

    def choose(curve: _Curve) -> int | None:
        moves = curve.net[:, np.isfinite(curve.ratio) & (curve.net.std(axis=0) > 0)]
        effective = effective_number(moves)
        moments = Moments.of(curve.net[:, curve.best])
        value = deflated_sharpe(moments, max(1, round(effective)), 1 / (moments.n - 1))
        return curve.best if value >= level else None

    return choose


_WAYS: dict[str, Callable[[_Curve], int | None]] = {
    _BASE: lambda curve: curve.best,
    "one standard error": _one_se,
    "4 of 5 parts": _folds,
    "bootstrap, 50 %": _bootstrap(0.5),
    "bootstrap, 90 %": _bootstrap(0.9),
    "deflated, 50 %": _deflated(0.5),
    "deflated, 90 %": _deflated(0.9),
}


# --- measuring -------------------------------------------------------------------------------


def run(options: Options) -> BenchmarkResult:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.source:
            cases = {"real": _real(options, folder)}
            about = f"Bars from {options.source}."
        else:
            cases = _synthetic(options, folder)
            about = (
                f"SYNTHETIC bars, {_BARS:,} hours a symbol: random walks with clustered volatility "
                "(`noise`; `drift 1`: holding has the true Sharpe ratio 1), and walks whose next "
                "log return is correlated with the last one (`signal`). lightgbm, horizon 3."
            )
    result = BenchmarkResult(
        "selection_noise",
        f"{about} A choice sees the out-of-fold probabilities of the past of a block; net Sharpe "
        "ratios are those of the blocks after it, and never trading counts as 0.",
        data={},
    )
    for rule in _RULES:
        for cost, costs in COSTS.items():
            rows, values = _rows(cases, rule, costs)
            result.add_table(
                f"rule {rule}, {cost} a side",
                ["", "way", "blocks traded", "mean net Sharpe", "traded blocks that lost",
                 "portfolio, less best (95 %)"],
                rows,
            )  # fmt: skip
            result.data[f"{rule}; {cost}"] = values
    return result


def _rows(
    cases: dict[str, list[_Case]], rule: RuleName, costs: Costs
) -> tuple[list[list[str]], dict[str, Any]]:
    rows, values = [], {}
    for group, members in cases.items():
        outcomes = {way: [] for way in _WAYS}  # type: dict[str, list[list[pd.Series]]]
        for case in members:
            chosen = _blocks(case, rule, costs)
            for way, blocks in chosen.items():
                outcomes[way].append(blocks)
        base = _portfolio(outcomes[_BASE])
        for way in _WAYS:
            blocks = [block for case in outcomes[way] for block in case]
            traded = [block for block in blocks if (block != 0).any()]
            ratios = [
                np.nan_to_num(sharpe(pd.concat(case).to_numpy(), members[0].periods_per_year))
                for case in outcomes[way]
            ]
            lost = sum(block.sum() < 0 for block in traded)
            gain = sharpe_difference(
                _portfolio(outcomes[way]), base, members[0].periods_per_year, seed=_SEED
            )
            rows.append([
                group, way, f"{len(traded)} of {len(blocks)}", f"{np.mean(ratios):.2f}",
                f"{lost} of {len(traded)}",
                "" if way == _BASE
                else f"{gain.observed:+.2f} ({gain.lower:+.2f} to {gain.upper:+.2f})",
            ])  # fmt: skip
            values[f"{group}; {way}"] = {
                "traded": len(traded), "blocks": len(blocks), "lost": int(lost),
                "net_sharpe": {m.name: float(r) for m, r in zip(members, ratios, strict=True)},
            }  # fmt: skip
    return rows, values


def _portfolio(cases: list[list[pd.Series]]) -> FloatArray:
    """Return the mean net return of the cases that have a bar."""
    net: FloatArray = (
        pd.concat([pd.concat(case) for case in cases]).groupby(level=0).mean().to_numpy()
    )
    return net


def _blocks(case: _Case, rule: RuleName, costs: Costs) -> dict[str, list[pd.Series]]:
    """Return the net returns of each block under each way to choose."""
    settings = RuleSettings(kind=rule, cost=costs.share)
    outcomes: dict[str, list[pd.Series]] = {way: [] for way in _WAYS}
    for past in case.blocks:
        curve, candidates = _curve(past, settings, Terms(costs, case.periods_per_year))
        # A calibrator without slope: the procedure does not trade then, whatever was chosen.
        ranked = np.unique(past.block_probability[np.isfinite(past.block_probability)]).size > 1
        for way, choose in _WAYS.items():
            chosen = choose(curve) if (curve.ratio > 0).any() and ranked else None
            value = None if chosen is None else float(candidates[chosen])
            position = settings.rule(value).decide(past.block_probability, held=0).position
            net = net_returns(position, past.block_return, costs)
            outcomes[way].append(pd.Series(net, index=past.block_times))
    return outcomes


def _curve(past: _Past, settings: RuleSettings, terms: Terms) -> tuple[_Curve, FloatArray]:
    search = optimise_threshold(past.probability, past.forward_return, terms, settings=settings)
    candidates = search.candidates
    net = np.column_stack(
        [
            net_returns(
                settings.rule(float(value)).decide(past.probability, held=0).position,
                past.forward_return,
                terms.costs,
            )
            for value in candidates
        ]
    )
    usable = (search.n_trades >= MIN_TRADES) & np.isfinite(search.net_sharpe)
    return (
        _Curve(net, np.where(usable, search.net_sharpe, -np.inf), terms.periods_per_year),
        candidates,
    )


def _measure(symbol: str, model: str, config: TrainConfig) -> _Case:
    data = make_builder(config).build(symbol)
    sample = Sample.of(data)
    terms = Terms(config.costs, data.meta.periods_per_year)
    procedure = make_procedure(_Capturing, symbol, model, config, terms)
    walk = walk_forward(sample, procedure, config.wf_splits)
    blocks = []
    for (probability, forward_return), block in zip(procedure.captured, walk.blocks, strict=True):
        rows: IntArray = np.flatnonzero(
            (walk.bar >= block.first_bar) & (walk.bar <= block.last_bar)
        )
        axis = BarAxis.of(walk.bar[rows])
        of_sample = sample.bar.searchsorted(walk.bar[rows])
        blocks.append(
            _Past(
                probability,
                forward_return,
                axis.place(walk.probability[rows], np.nan),
                axis.place(sample.forward_return[of_sample], 0.0),
                data.meta.bars.timestamps[block.first_bar : block.first_bar + axis.length],
            )
        )
    return _Case(f"{model} {symbol}", blocks, data.meta.periods_per_year)


def _real(options: Options, folder: Path) -> list[_Case]:
    names = options.symbols or (
        ("EURUSD",) if options.source == "sample" else ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    )
    by_interval: dict[str, list[str]] = {}
    for name in names:  # EURUSD or GOOGL@1d
        symbol, _, interval = name.partition("@")
        by_interval.setdefault(interval or "1h", []).append(symbol)
    return [
        case
        for interval, symbols in by_interval.items()
        for case in measure_all(
            _measure,
            _config(
                options, folder, symbols, options.models or ("lightgbm", "gru"),
                source=options.source, interval=interval,
                **({"n_splits": 2, "wf_splits": 2} if options.quick else {}),
            ),
            options.max_workers,
        )
    ]  # fmt: skip


def _synthetic(options: Options, folder: Path) -> dict[str, list[_Case]]:
    bars = folder / "bars"
    bars.mkdir()
    groups: dict[str, list[str]] = {}
    for number, (group, (count, drift, signal)) in enumerate(_GROUPS.items()):
        groups[group] = [f"S{number}{i:02d}" for i in range(options.pick(count, 1))]
        for i, symbol in enumerate(groups[group]):
            rng = np.random.default_rng([number, i])
            frame = synthetic_walk(options.pick(_BARS, 3_000), drift, signal, rng)
            frame.to_parquet(bars / f"{symbol}_1h.parquet")
    symbols = [symbol for names in groups.values() for symbol in names]
    config = _config(options, folder, symbols, ("lightgbm",), source=str(bars), horizon=3)
    cases = dict(zip(symbols, measure_all(_measure, config, options.max_workers), strict=True))
    return {group: [cases[symbol] for symbol in names] for group, names in groups.items()}


def _config(
    options: Options, folder: Path, symbols: list[str], models: tuple[str, ...], **more: Any
) -> TrainConfig:
    return TrainConfig.parse(
        {
            "symbols": ",".join(symbols),
            "models": ",".join(models),
            "cache": "off",
            "fit_cache_folder": options.fit_cache_folder or str(folder / "fits"),
            **more,
        }
    )


def write_walks(
    folder: Path, n_bars: int, signals: Mapping[str, float], *, drift: float, seed: int
) -> None:
    """Write bars of `synthetic_walk` for each symbol, with its correlation of log returns."""
    folder.mkdir()
    for number, (symbol, signal) in enumerate(signals.items()):
        frame = synthetic_walk(n_bars, drift, signal, np.random.default_rng([seed, number]))
        frame.to_parquet(folder / f"{symbol}_1h.parquet")


def synthetic_walk(
    n_bars: int, drift: float, signal: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Return SYNTHETIC hours: clustered volatility, a drift and a correlation of log returns."""
    log_volatility = np.zeros(n_bars)
    shocks = rng.normal(0, 0.1, n_bars)
    for i in range(1, n_bars):
        log_volatility[i] = 0.98 * log_volatility[i - 1] + shocks[i]
    moves = rng.normal(0, 0.006, n_bars) * np.exp(log_volatility)
    for i in range(1, n_bars):
        moves[i] += signal * moves[i - 1]
    moves += drift / np.sqrt(_HOURS) * moves.std()
    close = 100 * np.exp(np.cumsum(moves))
    open_ = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.001, n_bars)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.001, n_bars)))
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2020-01-01", periods=n_bars, freq="1h", tz="UTC"),
            "open": open_, "high": high, "low": low, "close": close,
            "volume": rng.lognormal(5, 1, n_bars),
        }
    )  # fmt: skip
