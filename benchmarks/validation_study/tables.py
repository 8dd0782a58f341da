"""Tables of the study: summaries, then every symbol and model, then the seconds of the fits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.measure import BenchmarkResult, Target
from benchmarks.validation_study.arms import ARMS, BASE, GROSS, RAW, UNPURGED
from benchmarks.validation_study.measures import MeasuredJob, Metrics
from trainer.text import number_text

#: Log-losses differ in the fourth digit, so they are printed in thousandths of a nat.
_MILLI = 1e3
_COUNTS = ("higher", "equal", "lower", "significantly higher", "significantly lower")
#: Arms of the tables on probabilities.
_WITH_PROBABILITIES = (BASE, *(arm.name for arm in ARMS if arm.own_probabilities))


def add_tables(
    result: BenchmarkResult, jobs: Sequence[MeasuredJob], portfolios: Mapping[str, Metrics]
) -> None:
    """Add all tables, targets and notes.

    Parameters
    ----------
    result : BenchmarkResult
    jobs : sequence of MeasuredJob
    portfolios : mapping of str to dict of str to float
        Metrics of each arm as a portfolio of all jobs (`compare_portfolios`).
    """
    _add_summaries(result, jobs, portfolios)
    _add_probability_summaries(result, jobs)
    for job in jobs:
        _add_job(result, job)
    result.add_table(
        "probabilities: log-loss in 1/1000 nats",
        ["", "arm", "arm - base rate", "arm - base", "95 %", "ECE", "AUC"],
        [_probabilities(job, name) for job in jobs for name in _WITH_PROBABILITIES],
    )
    result.add_table(
        "CPU seconds of all arms together",
        ["", "fits made", "seconds", "fits read", "seconds", "everything else", "saved, about"],
        [_seconds(job) for job in jobs],
    )
    for what, name, key in (
        ("net Sharpe, base - gross threshold", GROSS, "gain"),
        ("log-loss, no calibration - base", RAW, "log_loss_gain"),
    ):
        mean = f"{what}, mean of {len(jobs)}"
        result.targets.append(Target(mean, _mean(jobs, name, key), 0, True))
    _add_notes(result, jobs)


def _add_summaries(
    result: BenchmarkResult, jobs: Sequence[MeasuredJob], portfolios: Mapping[str, Metrics]
) -> None:
    """Add the gains of the net Sharpe ratio, over all jobs and as one portfolio."""
    result.add_table(
        f"base - arm, walk-forward net Sharpe ratio, over {len(jobs)} symbols and models",
        ["arm", "mean", "median", "lowest", "highest", *_COUNTS],
        [_sharpe_gains(arm.name, jobs) for arm in ARMS[1:]],
    )
    result.add_table(
        f"all {len(jobs)} as one portfolio, equal parts, on the {portfolios[BASE]['bars']:,} bars "
        "that all have: net Sharpe ratio",
        ["arm", "net Sharpe", "base - arm", "95 %", ">= 0"],
        [
            [name, _number(arm["net_sharpe"]), *_difference(name, arm)]
            for name, arm in portfolios.items()
        ],
    )


def _add_probability_summaries(result: BenchmarkResult, jobs: Sequence[MeasuredJob]) -> None:
    """Add the gains of the log-loss, and the metrics of the selection."""
    result.add_table(
        "log-loss in 1/1000 nats: arm - base (above 0: the base has less), means and counts",
        ["arm", "arm - base", *_COUNTS, "arm - base rate", "below it", "ECE"],
        [_log_loss_gains(name, jobs) for name in _WITH_PROBABILITIES],
    )
    keys = ("val_log_loss", "log_loss", "val_roc_auc", "roc_auc")
    result.add_table(
        "metrics of the selection, and of the walk-forward after it (means)",
        ["", "log-loss, selection", "walk-forward", "AUC, selection", "walk-forward"],
        [
            [name, *(f"{_mean(jobs, name, key):.4f}" for key in keys)]
            for name in (BASE, UNPURGED)
        ],
    )  # fmt: skip


def _add_job(result: BenchmarkResult, job: MeasuredJob) -> None:
    """Add the performance of every arm on one symbol and model."""
    result.add_table(
        f"{job.name}: {job.rows:,} rows, tested {' to '.join(job.tested)}, buy and hold "
        f"{job.arms[BASE]['buy_hold_sharpe']:.2f}",
        ["arm", "net Sharpe", "95 %", "base - arm", "95 %", ">= 0", "gross", "turnover",
         "trades", "flat blocks"],
        [_performance(name, arm) for name, arm in job.arms.items()],
    )  # fmt: skip


def _add_notes(result: BenchmarkResult, jobs: Sequence[MeasuredJob]) -> None:
    n_checks = sum(job.checks for job in jobs)
    result.notes += [
        *(f"{arm.name}: {arm.about}." for arm in ARMS),
        f"The arms differ where they must, and nowhere else: {n_checks:,} comparisons, bit for "
        "bit.",
        "Threshold arms have the base's probabilities, so the tables on probabilities leave them "
        "out.",
        "A dash is the Sharpe ratio of an arm that never traded; it counts as 0 in differences.",
        "95 %: confidence interval by stationary bootstrap, with the same draws of bars for base "
        "and arm; `significantly` means that it does not contain 0.",
        "Saved: seconds that the fits read from the cache would have taken, at the mean of the "
        "fits that were made.",
    ]


def _sharpe_gains(name: str, jobs: Sequence[MeasuredJob]) -> list[str]:
    values = [job.arms[name]["gain"] for job in jobs]
    functions = (statistics.mean, statistics.median, min, max)
    return [name, *(f"{f(values):+.2f}" for f in functions), *_counts(name, jobs, "gain")]


def _log_loss_gains(name: str, jobs: Sequence[MeasuredJob]) -> list[str]:
    over = [_over_base_rate(job.arms[name]) for job in jobs]
    return [
        name,
        "" if name == BASE else f"{_MILLI * _mean(jobs, name, 'log_loss_gain'):+.2f}",
        *([""] * len(_COUNTS) if name == BASE else _counts(name, jobs, "log_loss_gain")),
        f"{statistics.mean(over):+.2f}",
        f"{sum(value < 0 for value in over)} of {len(over)}",
        f"{_mean(jobs, name, 'ece'):.4f}",
    ]


def _counts(name: str, jobs: Sequence[MeasuredJob], key: str) -> list[str]:
    """Return the number of jobs by the sign of a difference; the columns are `_COUNTS`."""
    arms = [job.arms[name] for job in jobs]
    rules: list[Callable[[Metrics], bool]] = [
        lambda arm: arm[key] > 0,
        lambda arm: arm[key] == 0,
        lambda arm: arm[key] < 0,
        lambda arm: arm[f"{key}_lower"] > 0,
        lambda arm: arm[f"{key}_upper"] < 0,
    ]
    return [str(sum(rule(arm) for arm in arms)) for rule in rules]


def _performance(name: str, arm: Metrics) -> list[str]:
    return [
        name,
        _number(arm["net_sharpe"]),
        _range(arm["net_sharpe_lower"], arm["net_sharpe_upper"]),
        *_difference(name, arm),
        _number(arm["gross_sharpe"]),
        f"{arm['turnover']:,.0f}",
        f"{arm['n_trades']:,.0f}",
        str(arm["flat_blocks"]),
    ]


def _difference(name: str, arm: Metrics) -> list[str]:
    """Return the gain, its confidence interval and the share of draws at or above 0."""
    if name == BASE:
        return ["", "", ""]
    interval = _range(arm["gain_lower"], arm["gain_upper"])
    return [f"{arm['gain']:+.2f}", interval, f"{arm['gain_at_least']:.1%}"]


def _probabilities(job: MeasuredJob, name: str) -> list[str]:
    arm = job.arms[name]
    lower, upper = (_MILLI * arm[f"log_loss_gain_{end}"] for end in ("lower", "upper"))
    return [
        job.name,
        name,
        f"{_over_base_rate(arm):+.2f}",
        "" if name == BASE else f"{_MILLI * arm['log_loss_gain']:+.2f}",
        "" if name == BASE else _range(lower, upper),
        f"{arm['ece']:.4f}",
        f"{arm['roc_auc']:.4f}",
    ]


def _seconds(job: MeasuredJob) -> list[str]:
    arms = job.arms.values()
    keys = ("fits_made", "seconds_made", "fits_read", "seconds_read", "seconds_else")
    made, seconds_made, read, seconds_read, other = (sum(arm[k] for arm in arms) for k in keys)
    return [
        job.name,
        str(made),
        f"{seconds_made:,.1f}",
        str(read),
        f"{seconds_read:,.1f}",
        f"{other:,.1f}",
        f"{read * seconds_made / made - seconds_read:,.0f}" if made else "-",
    ]


def _over_base_rate(arm: Metrics) -> float:
    return float(_MILLI * (arm["log_loss"] - arm["base_rate_log_loss"]))


def _mean(jobs: Sequence[MeasuredJob], name: str, key: str) -> float:
    return float(statistics.mean(job.arms[name][key] for job in jobs))


def _number(value: float) -> str:
    return number_text(value, undefined="-")


def _range(lower: float, upper: float) -> str:
    return f"{lower:.2f} to {upper:.2f}" if math.isfinite(lower) else "-"
