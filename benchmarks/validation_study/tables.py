"""What the study found, as tables: one for each symbol and model, and summaries over all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.measure import Report, Target
from benchmarks.validation_study.arms import ARMS, BASE, GROSS, RAW, UNPURGED

Task = dict[str, Any]
_OTHERS = tuple(arm.name for arm in ARMS if arm.name != BASE)


def add_tables(report: Report, tasks: Sequence[Task]) -> None:
    """Fill the report: summaries first, then every symbol and model, then where time went."""
    report.add_table("arms", ["", "what it is"], [[arm.name, arm.about] for arm in ARMS])
    report.add_table(
        f"what the base gains on each arm, over {len(tasks)} symbols and models "
        "(base - arm, walk-forward net Sharpe ratio)",
        ["base against", "mean", "median", "lowest", "highest", "base better", "equal", "worse",
         "interval above 0", "below 0"],
        [_gains(name, tasks) for name in _OTHERS],
    )  # fmt: skip
    report.add_table(
        "what the base gains in log-loss (arm - base, in 1/1000 nats)",
        ["base against", "mean", "base better", "equal", "worse", "interval above 0", "below 0",
         "arm below base rate", "mean ECE"],
        [_spared(arm.name, tasks) for arm in ARMS],
    )  # fmt: skip
    report.add_table(
        "what purging changes in the selection's own figures (means over tasks)",
        [
            "",
            "log-loss, selection",
            "log-loss, walk-forward",
            "AUC, selection",
            "AUC, walk-forward",
        ],
        [
            [name, *(f"{_mean(tasks, name, key):.4f}" for key in keys)]
            for name in (BASE, UNPURGED)
            for keys in [("val_log_loss", "log_loss", "val_roc_auc", "roc_auc")]
        ],
    )
    for task in tasks:
        report.add_table(
            f"{task['model']} {task['symbol']}: {task['rows']:,} rows, tested "
            f"{' to '.join(task['tested'])}, buy and hold "
            f"{task['arms'][BASE]['buy_hold_sharpe']:.2f}",
            ["arm", "net Sharpe", "95 %", "base - arm", "95 %", ">= 0", "gross", "log-loss - base rate",
             "ECE", "turnover", "trades", "flat blocks"],
            [_row(name, figures) for name, figures in task["arms"].items()],
        )  # fmt: skip
    report.add_table(
        "CPU seconds of all arms together",
        ["", "fits made", "seconds", "fits read", "seconds", "everything else", "saved, about"],
        [_seconds(task) for task in tasks],
    )
    report.targets += [
        _target("net Sharpe, base - threshold by gross Sharpe", tasks, GROSS, "gain"),
        _target("log-loss, no calibration - base", tasks, RAW, "log_loss_gain"),
    ]
    checks = sum(task["checks"] for task in tasks)
    report.notes += [
        f"Arms differ where they must and only there: {checks:,} comparisons, bit for bit.",
        "A dash is a Sharpe ratio of an arm that never traded; it counts as 0 in differences.",
        "Intervals: 95 %, stationary bootstrap, the same draws of bars for base and arm.",
    ]


def _gains(name: str, tasks: Sequence[Task]) -> list[str]:
    values = [task["arms"][name]["gain"] for task in tasks]
    return [
        name,
        *(f"{f(values):+.2f}" for f in (statistics.mean, statistics.median, min, max)),
        *_counts(name, tasks, "gain"),
    ]


def _spared(name: str, tasks: Sequence[Task]) -> list[str]:
    below = sum(task["arms"][name]["log_loss"] < _rate(task, name) for task in tasks)
    return [
        name,
        f"{1e3 * _mean(tasks, name, 'log_loss_gain'):+.2f}",
        *_counts(name, tasks, "log_loss_gain"),
        str(below),
        f"{_mean(tasks, name, 'ece'):.4f}",
    ]


def _counts(name: str, tasks: Sequence[Task], key: str) -> list[str]:
    """In how many tasks the base is better, equal, worse; surely better, surely worse."""
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
    same = name == BASE
    return [
        name,
        _number(arm["net_sharpe"]),
        _range(arm["net_sharpe_lower"], arm["net_sharpe_upper"]),
        "" if same else f"{arm['gain']:+.2f}",
        "" if same else _range(arm["gain_lower"], arm["gain_upper"]),
        "" if same else f"{arm['gain_at_least']:.1%}",
        _number(arm["gross_sharpe"]),
        f"{arm['log_loss'] - arm['base_rate_log_loss']:+.4f}",
        f"{arm['ece']:.4f}",
        f"{arm['turnover']:,.0f}",
        f"{arm['n_trades']:,.0f}",
        str(arm["flat_blocks"]),
    ]


def _seconds(task: Task) -> list[str]:
    arms = task["arms"].values()
    keys = ("fits_made", "seconds_made", "fits_read", "seconds_read", "seconds_else")
    made, seconds_made, read, seconds_read, other = (sum(arm[k] for arm in arms) for k in keys)
    # What was read would have taken as long as what was made, a fit for a fit.
    saved = f"{read * seconds_made / made - seconds_read:,.0f}" if made else "-"
    return [
        f"{task['model']} {task['symbol']}",
        str(made),
        f"{seconds_made:,.1f}",
        str(read),
        f"{seconds_read:,.1f}",
        f"{other:,.1f}",
        saved,
    ]


def _target(what: str, tasks: Sequence[Task], name: str, key: str) -> Target:
    unit = f", mean of {len(tasks)}"
    return Target(what + unit, _mean(tasks, name, key), 0, True)


def _mean(tasks: Sequence[Task], name: str, key: str) -> float:
    return statistics.mean(task["arms"][name][key] for task in tasks)


def _rate(task: Task, name: str) -> float:
    return float(task["arms"][name]["base_rate_log_loss"])


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _range(lower: float, upper: float) -> str:
    return f"{lower:.2f} to {upper:.2f}" if math.isfinite(lower) else "-"
