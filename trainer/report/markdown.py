"""A candidate in words: the markdown of its run and its version, and its report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainer.evidence.verdict import Verdict
from trainer.job import TrainedModel
from trainer.report.page import html


def describe(
    trained: TrainedModel, verdict: Verdict, figures: Mapping[str, float] | None = None
) -> str:
    """Markdown about a candidate, for its run and its version.

    Parameters
    ----------
    trained : TrainedModel
    verdict : Verdict
    figures : mapping of str to float, optional
        What the campaign says of it: ``dsr``, ``pbo``, ``trials``.
    """
    data = trained.data
    dropped = ", ".join(f"{count:,} {why}" for why, count in data["dropped"].items()) or "none"
    said = {
        "proven": "**Proven**: it passes every criterion below.",
        "unproven": f"**Unproven**: it trades, but {verdict.reason}.",
        "flat": f"**Flat**: {verdict.reason}. This model does not trade.",
    }[verdict.status]
    wf = {name: _shown_figure(name, value) for name, value in trained.metrics.items()}
    return (
        f"{said}\n\n"
        f"| walk-forward | net | gross | buy and hold |\n|---|---|---|---|\n"
        f"| Sharpe (annual) | {wf['wf_net_sharpe']} | {wf['wf_gross_sharpe']} "
        f"| {wf['wf_buy_hold_sharpe']} |\n"
        f"| return | {wf['wf_net_return']} | {wf['wf_gross_return']} "
        f"| {wf['wf_buy_hold_return']} |\n\n"
        f"{_interval(trained.metrics)}{_criteria(verdict, figures)}"
        f"{wf['wf_n_trades']} trades, turnover {wf['wf_turnover']}, "
        f"log-loss {wf['wf_log_loss']} against the base rate's "
        f"{wf['wf_base_rate_log_loss']}.\n\n"
        f"Data: {data['understood']}. {data['rows']:,} rows of {data['bars']:,} bars from "
        f"{data['first']} to {data['last']}; dropped: {dropped}."
    )


def report_page(
    page: Mapping[str, Any],
    drawn: Mapping[str, bytes],
    verdict: Verdict,
    figures: Mapping[str, float],
    about: Mapping[str, str],
) -> str:
    """Write the report of a candidate, judged against a campaign.

    Parameters
    ----------
    page : mapping
        What `trainer.evidence.dossier.page` put together.
    drawn : mapping of str to bytes
        PNG files by name.
    verdict : Verdict
    figures : mapping of str to float
        What the campaign says of it: ``trials`` and others.
    about : mapping of str to str
        Which version it is.
    """
    facts = {**about, "trials": f"{figures['trials']:.0f} of this symbol in the experiment"}
    return html(page, drawn, [criterion.plain() for criterion in verdict.criteria], facts)


def _criteria(verdict: Verdict, figures: Mapping[str, float] | None) -> str:
    """Table of the gate's criteria, once the campaign's figures are there."""
    if figures is None:
        return ""
    rows = "".join(
        f"| {'passes' if c.passed else '**fails**'} | {c.name} | {c.figure} | {c.rule} |\n"
        for c in verdict.criteria
    )
    return (
        f"Held against {figures['trials']:.0f} trials of this symbol in the experiment:\n\n"
        f"| | criterion | figure | rule |\n|---|---|---|---|\n{rows}\n"
    )


def _interval(metrics: Mapping[str, float]) -> str:
    """Sentence on how far the net Sharpe ratio may be believed; none if it never traded."""
    lower, upper, psr = (
        metrics[f"wf_{n}"] for n in ("net_sharpe_lower", "net_sharpe_upper", "psr")
    )
    if not (math.isfinite(lower) and math.isfinite(psr)):
        return ""
    null = metrics.get("wf_null_percentile", math.nan)
    beside = f" It beats {null:.0f} % of the null runs." if math.isfinite(null) else ""
    even = metrics["wf_break_even_bps"]
    costs = (
        f"it broke even at {even:.1f} basis points a side" if even > 0 else "it lost before costs"
    )
    return (
        f"95 % interval of the net Sharpe ratio (stationary bootstrap): {lower:.2f} to "
        f"{upper:.2f}; probability that the true one is above 0: {psr:.1%}; {costs}."
        f"{beside}\n\n"
    )


def _shown_figure(name: str, value: float) -> str:
    """Write a figure for people; one that is undefined is a dash."""
    form = {"return": "+.2%", "sharpe": ".2f", "loss": ".4f"}.get(name.rpartition("_")[2], ".0f")
    return format(value, form) if math.isfinite(value) else "-"
