"""The description of a candidate in markdown, for its run and its version."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from trainer.evidence.verdict import Verdict
from trainer.job import TrainedModel
from trainer.text import number_text


def describe(
    trained: TrainedModel, verdict: Verdict, trial_metrics: Mapping[str, float] | None = None
) -> str:
    """Return markdown about a candidate.

    Parameters
    ----------
    trained : TrainedModel
    verdict : Verdict
    trial_metrics : mapping of str to float, optional
        Metrics that need all trials of the symbol; ``trials`` is their number. Without them, the
        table of criteria is left out.
    """
    data, metrics = trained.data, trained.headline.metrics
    dropped = ", ".join(f"{count:,} {why}" for why, count in data.dropped.items()) or "none"
    # A version of an earlier Barwright lacks the metrics that were added since.
    text: defaultdict[str, str] = defaultdict(lambda: "undefined")
    text.update({name: _metric_text(name, value) for name, value in metrics.items()})
    return (
        f"{_verdict(verdict)}\n\n"
        f"| walk-forward | net | gross | buy and hold | 30-day momentum |\n|---|---|---|---|---|\n"
        f"| Sharpe (annual) | {text['net_sharpe']} | {text['gross_sharpe']} "
        f"| {text['buy_hold_sharpe']} | {text['momentum_sharpe']} |\n"
        f"| return | {text['net_return']} | {text['gross_return']} "
        f"| {text['buy_hold_return']} | {text['momentum_return']} |\n\n"
        f"{_significance(metrics)}{_criteria(verdict, trial_metrics)}"
        f"{text['n_trades']} trades, turnover {text['turnover']}, "
        f"log-loss {text['log_loss']} against the base rate's "
        f"{text['base_rate_log_loss']}.\n\n"
        f"Data: {data.understood}. {data.rows:,} rows of {data.bars:,} bars from "
        f"{data.first} to {data.last}; dropped: {dropped}."
    )


def _verdict(verdict: Verdict) -> str:
    return {
        "proven": "**Proven**: it passes every criterion below.",
        "unproven": f"**Unproven**: it trades, but {verdict.reason}.",
        "flat": f"**Flat**: {verdict.reason}. This model does not trade.",
    }[verdict.status]


def _criteria(verdict: Verdict, trial_metrics: Mapping[str, float] | None) -> str:
    """Return the table of the gate's criteria; empty before the metrics of the trials exist."""
    if trial_metrics is None:
        return ""
    rows = "".join(
        f"| {'passes' if c.passed else '**fails**'} | {c.name} | {c.value} | {c.rule} |\n"
        for c in verdict.criteria
    )
    return (
        f"Trials of this symbol in the experiment: {trial_metrics['trials']:.0f}. Criteria:\n\n"
        f"| | criterion | value | rule |\n|---|---|---|---|\n{rows}\n"
    )


def _significance(metrics: Mapping[str, float]) -> str:
    """Return the uncertainty of the net Sharpe ratio as text; empty if the model never traded."""
    lower, upper, psr = (metrics[n] for n in ("net_sharpe_lower", "net_sharpe_upper", "psr"))
    if not (math.isfinite(lower) and math.isfinite(psr)):
        return ""
    null = metrics.get("null_percentile", math.nan)
    null_text = f" It beats {null:.0f} % of the null runs." if math.isfinite(null) else ""
    even = metrics["break_even_bps"]
    costs = (
        f"it broke even at {even:.1f} basis points a side" if even > 0 else "it lost before costs"
    )
    return (
        f"95 % confidence interval of the net Sharpe ratio (stationary bootstrap): {lower:.2f} to "
        f"{upper:.2f}; probability that the true ratio is above 0: {psr:.1%}; {costs}."
        f"{null_text}\n\n"
    )


def _metric_text(name: str, value: float) -> str:
    """Return a metric as text; a dash if it is undefined."""
    form = {"return": "+.2%", "sharpe": ".2f", "loss": ".4f"}.get(name.rpartition("_")[2], ".0f")
    return number_text(value, form, "-")
