"""What the study found, as tables: summaries, then every symbol and model, then where time went."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.measure import Report, Target
from benchmarks.validation_study.arms import ARMS, BASE, GROSS, RAW, UNPURGED

Task = dict[str, Any]
#: Log-losses differ in the fourth digit: they are told in thousandths of a nat.
_MILLI = 1e3


def add_tables(
    report: Report, tasks: Sequence[Task], together: Mapping[str, Mapping[str, float]]
) -> None:
    """Fill the report."""
    counts = ["higher", "equal", "lower", "surely higher", "surely lower"]
    report.add_table(
        f"base - arm, walk-forward net Sharpe ratio, over {len(tasks)} symbols and models",
        ["arm", "mean", "median", "lowest", "highest", *counts],
        [_gains(arm.name, tasks) for arm in ARMS[1:]],
    )
    report.add_table(
        f"all {len(tasks)} as one portfolio, equal parts, on the {together[BASE]['bars']:,} bars "
        "that all have: net Sharpe ratio",
        ["arm", "net Sharpe", "base - arm", "95 %", ">= 0"],
        [[name, _number(arm["net_sharpe"]), *_paired(name, arm)] for name, arm in together.items()],
    )
    own = [arm.name for arm in ARMS if arm.own_probabilities]
    report.add_table(
        "log-loss in 1/1000 nats: arm - base (above 0: the base has less), means and counts",
        ["arm", "arm - base", *counts, "arm - base rate", "below it", "ECE"],
        [_spared(name, tasks) for name in (BASE, *own)],
    )
    keys = ("val_log_loss", "log_loss", "val_roc_auc", "roc_auc")
    report.add_table(
        "what the selection sees of itself, and what the walk-forward finds (means)",
        ["", "log-loss, selection", "walk-forward", "AUC, selection", "walk-forward"],
        [
            [name, *(f"{_mean(tasks, name, key):.4f}" for key in keys)]
            for name in (BASE, UNPURGED)
        ],
    )  # fmt: skip
    for task in tasks:
        report.add_table(
            f"{task['model']} {task['symbol']}: {task['rows']:,} rows, tested "
            f"{' to '.join(task['tested'])}, buy and hold "
            f"{task['arms'][BASE]['buy_hold_sharpe']:.2f}",
            ["arm", "net Sharpe", "95 %", "base - arm", "95 %", ">= 0", "gross", "turnover",
             "trades", "flat blocks"],
            [_row(name, figures) for name, figures in task["arms"].items()],
        )  # fmt: skip
    report.add_table(
        "probabilities: log-loss in 1/1000 nats",
        ["", "arm", "arm - base rate", "arm - base", "95 %", "ECE", "AUC"],
        [_probabilities(task, name) for task in tasks for name in (BASE, *own)],
    )
    report.add_table(
        "CPU seconds of all arms together",
        ["", "fits made", "seconds", "fits read", "seconds", "everything else", "saved, about"],
        [_seconds(task) for task in tasks],
    )
    for what, name, key in (
        ("net Sharpe, base - gross threshold", GROSS, "gain"),
        ("log-loss, no calibration - base", RAW, "log_loss_gain"),
    ):
        mean = f"{what}, mean of {len(tasks)}"
        report.targets.append(Target(mean, _mean(tasks, name, key), 0, True))
    checks = sum(task["checks"] for task in tasks)
    report.notes += [
        *(f"{arm.name}: {arm.about}." for arm in ARMS),
        f"Arms differ where they must and only there: {checks:,} comparisons, bit for bit.",
        "Threshold arms have the base's probabilities, and are left out where those are shown.",
        "A dash is a Sharpe ratio of an arm that never traded; it counts as 0 in differences.",
        "Intervals: 95 %, stationary bootstrap, the same draws of bars for base and arm; `surely` "
        "means that the interval does not hold 0.",
        "Saved: what the fits that were read would have taken at the pace of those made here.",
    ]


def _gains(name: str, tasks: Sequence[Task]) -> list[str]:
    values = [task["arms"][name]["gain"] for task in tasks]
    spread = (statistics.mean, statistics.median, min, max)
    return [name, *(f"{f(values):+.2f}" for f in spread), *_counts(name, tasks, "gain")]


def _spared(name: str, tasks: Sequence[Task]) -> list[str]:
    over = [_over_base_rate(task["arms"][name]) for task in tasks]
    return [
        name,
        "" if name == BASE else f"{_MILLI * _mean(tasks, name, 'log_loss_gain'):+.2f}",
        *([""] * 5 if name == BASE else _counts(name, tasks, "log_loss_gain")),
        f"{statistics.mean(over):+.2f}",
        f"{sum(value < 0 for value in over)} of {len(over)}",
        f"{_mean(tasks, name, 'ece'):.4f}",
    ]


def _counts(name: str, tasks: Sequence[Task], key: str) -> list[str]:
    """In how many tasks a difference is above 0, 0, below 0, and surely above or below it."""
    arms = [task["arms"][name] for task in tasks]
    rules: list[Callable[[dict[str, float]], bool]] = [
        lambda arm: arm[key] > 0,
        lambda arm: arm[key] == 0,
        lambda arm: arm[key] < 0,
        lambda arm: arm[f"{key}_lower"] > 0,
        lambda arm: arm[f"{key}_upper"] < 0,
    ]
    return [str(sum(rule(arm) for arm in arms)) for rule in rules]


def _row(name: str, arm: dict[str, float]) -> list[str]:
    return [
        name,
        _number(arm["net_sharpe"]),
        _range(arm["net_sharpe_lower"], arm["net_sharpe_upper"]),
        *_paired(name, arm),
        _number(arm["gross_sharpe"]),
        f"{arm['turnover']:,.0f}",
        f"{arm['n_trades']:,.0f}",
        str(arm["flat_blocks"]),
    ]


def _paired(name: str, arm: Mapping[str, float]) -> list[str]:
    if name == BASE:
        return ["", "", ""]
    interval = _range(arm["gain_lower"], arm["gain_upper"])
    return [f"{arm['gain']:+.2f}", interval, f"{arm['gain_at_least']:.1%}"]


def _probabilities(task: Task, name: str) -> list[str]:
    arm = task["arms"][name]
    lower, upper = (_MILLI * arm[f"log_loss_gain_{end}"] for end in ("lower", "upper"))
    return [
        f"{task['model']} {task['symbol']}",
        name,
        f"{_over_base_rate(arm):+.2f}",
        "" if name == BASE else f"{_MILLI * arm['log_loss_gain']:+.2f}",
        "" if name == BASE else _range(lower, upper),
        f"{arm['ece']:.4f}",
        f"{arm['roc_auc']:.4f}",
    ]


def _seconds(task: Task) -> list[str]:
    arms = task["arms"].values()
    keys = ("fits_made", "seconds_made", "fits_read", "seconds_read", "seconds_else")
    made, seconds_made, read, seconds_read, other = (sum(arm[k] for arm in arms) for k in keys)
    return [
        f"{task['model']} {task['symbol']}",
        str(made),
        f"{seconds_made:,.1f}",
        str(read),
        f"{seconds_read:,.1f}",
        f"{other:,.1f}",
        f"{read * seconds_made / made - seconds_read:,.0f}" if made else "-",
    ]


def _over_base_rate(arm: Mapping[str, Any]) -> float:
    return float(_MILLI * (arm["log_loss"] - arm["base_rate_log_loss"]))


def _mean(tasks: Sequence[Task], name: str, key: str) -> float:
    return float(statistics.mean(task["arms"][name][key] for task in tasks))


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _range(lower: float, upper: float) -> str:
    return f"{lower:.2f} to {upper:.2f}" if math.isfinite(lower) else "-"
