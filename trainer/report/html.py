"""The report on a model as one HTML page that needs no other file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from features.sources import MADE_UP
from trainer.evidence.verdict import Criterion, Verdict
from trainer.report.page import Page
from trainer.report.sections import TextTable, section
from trainer.text import number_text

#: Ways to earn, in the names of the metrics.
_WAYS = ("net", "gross", "buy_hold", "momentum")
#: Metrics below the headline: name, text, format.
_FACTS = (
    ("psr", "P(true Sharpe > 0)", ".3f"),
    ("min_track_record", "bars needed for 95 % confidence", ",.0f"),
    ("n_bars", "bars of the walk-forward", ",.0f"),
    ("n_trades", "trades", ",.0f"),
    ("exposure", "share of bars in the market", ".1%"),
    ("turnover", "turnover", ",.0f"),
    ("net_max_drawdown", "maximum drawdown, net", ".1%"),
    ("net_sortino", "Sortino ratio, net", ".2f"),
    ("break_even_bps", "break-even costs, bps a side", ".1f"),
    ("hold_beta", "beta to buy and hold", ".2f"),
    ("appraisal_ratio", "appraisal ratio", ".2f"),
    ("log_loss", "log-loss", ".4f"),
    ("base_rate_log_loss", "log-loss of the base rate", ".4f"),
    ("roc_auc", "ROC AUC", ".3f"),
)


@dataclass(frozen=True)
class _VerdictBox:
    """The first box of the page; `tone` is a CSS class."""

    tone: str
    mark: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _HeadlineTexts:
    """The texts of the headline's section."""

    value: str
    interval: str
    meaning: str
    facts: tuple[tuple[str, str], ...]
    table: TextTable


def candidate_report(
    page: Page,
    pngs: Mapping[str, bytes],
    verdict: Verdict,
    trial_metrics: Mapping[str, float],
    about: Mapping[str, str],
) -> str:
    """Return the report on a model that was judged together with all trials of its symbol.

    Parameters
    ----------
    page : Page
    pngs : mapping of str to bytes
        PNG files by name, from `trainer.report.figures.draw_figures`.
    verdict : Verdict
    trial_metrics : mapping of str to float
        Metrics that need all trials of the symbol; ``trials`` is their number.
    about : mapping of str to str
        Version and run of the model.
    """
    trials = f"{trial_metrics['trials']:.0f} of this symbol in the experiment"
    return report_html(page, pngs, verdict.criteria, {**about, "trials": trials})


def report_html(
    page: Page,
    pngs: Mapping[str, bytes],
    criteria: Sequence[Criterion],
    facts: Mapping[str, str],
) -> str:
    """Return the report as one HTML page without scripts and without links to other files.

    Parameters
    ----------
    page : Page
        An undefined number is written as "undefined".
    pngs : mapping of str to bytes
        PNG files by name, from `trainer.report.figures.draw_figures`. In place of a missing figure
        the page has the sentence "Not measured".
    criteria : sequence of Criterion
        The page marks a criterion as failed if its `passed` is not exactly True. Without criteria
        its title is "Not judged".
    facts : mapping of str to str
        First entries of the section "What was tested": version, run, number of trials.

    Returns
    -------
    str
        HTML; every text of the arguments is escaped.
    """
    # Importing matplotlib takes about a second: `barwright train` does so only to write a report.
    from trainer.report.figures import FIGURES

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    judged = [replace(criterion, passed=criterion.passed is True) for criterion in criteria]
    return environment.from_string(template).render(
        name=f"{page.contract.model}-{page.contract.symbol}",
        measured=_measured(page),
        made_up=page.understood.startswith(MADE_UP),
        verdict=_verdict(page, judged),
        criteria=judged,
        headline=_headline(page),
        sections=[section(figure, page, pngs.get(figure.name)) for figure in FIGURES],
        tested=[*facts.items(), *_tested(page)],
    )


def _measured(page: Page) -> str:
    blocks, contract = page.headline.blocks, page.contract
    first = blocks[0].first[:10] if blocks else "?"
    last = blocks[-1].last[:10] if blocks else "?"
    return (
        f"{contract.interval} bars; walk-forward {first} to {last} in {len(blocks)} blocks, "
        "each scored once by a model that was trained on the bars before it; "
        f"costs {contract.costs.bps:g} bps a side"
    )


def _verdict(page: Page, criteria: list[Criterion]) -> _VerdictBox:
    failed = [criterion.name for criterion in criteria if not criterion.passed]
    flat_because = _flat_because(page)
    status = Verdict.of(flat_because, criteria).status if criteria or flat_because else page.status
    lines = [f"{flat_because}."] if flat_because else []
    if failed:
        lines.append(f"Fails: {', '.join(failed)}.")
    if not criteria:
        lines = [f"Its status is {status}.", *lines] if status else lines
        title = "Not judged: no criteria were applied"
        return _VerdictBox("none", "\N{EN DASH}", title, tuple(lines))
    title = {
        "proven": f"Proven: all {len(criteria)} criteria pass",
        "unproven": f"Unproven: {len(failed)} of {len(criteria)} criteria fail",
        "flat": "Flat: this model does not trade",
    }[status]
    tone, mark = ("pass", "\N{CHECK MARK}") if status == "proven" else ("fail", "\N{BALLOT X}")
    return _VerdictBox(tone, mark, title, tuple(lines))


def _flat_because(page: Page) -> str:
    """Return why the model does not trade, without a full stop; empty if it trades."""
    if page.evidence.threshold is not None and page.status != "flat":
        return ""
    reason = f": {page.evidence.flat_because}" if page.evidence.flat_because else ""
    return f"Its threshold is \u201cdo not trade\u201d{reason}"


def _headline(page: Page) -> _HeadlineTexts:
    low, high = page.metric("net_sharpe_lower"), page.metric("net_sharpe_upper")
    interval = "95 % confidence interval undefined"
    if math.isfinite(low) and math.isfinite(high):
        interval = f"95 % confidence interval {low:.2f} to {high:.2f} (stationary bootstrap)"
    ratios = (number_text(page.metric(f"{way}_sharpe")) for way in _WAYS)
    returns = (number_text(page.metric(f"{way}_return"), "+.1%") for way in _WAYS)
    differences = (_difference(page, name) for name in ("less_hold", "less_momentum"))
    return _HeadlineTexts(
        value=number_text(page.metric("net_sharpe")),
        interval=interval,
        meaning=_meaning(page, low, high),
        facts=tuple((text, _fact(page, name, form)) for name, text, form in _FACTS),
        table=TextTable(
            "Comparison with the baselines",
            ("", "net", "gross", "buy and hold", "30-day momentum", "flat"),
            (
                ("Sharpe ratio", *ratios, "undefined"),
                ("return", *returns, "+0.0%"),
                ("net less this baseline (95 %)", "", "", *differences, ""),
            ),
        ),
    )


def _difference(page: Page, name: str) -> str:
    """Return how far the net Sharpe ratio is from that of a baseline, with its interval."""
    low, high = (number_text(page.metric(f"{name}_{end}"), "+.2f") for end in ("lower", "upper"))
    return f"{number_text(page.metric(name), '+.2f')} ({low} to {high})"


def _meaning(page: Page, low: float, high: float) -> str:
    """Return what the confidence interval means, in one or two sentences."""
    if page.metric("n_trades") == 0:
        return "The walk-forward never traded: there is nothing to judge."
    if not (math.isfinite(low) and math.isfinite(high)):
        return "Without a confidence interval, the true ratio can have any value."
    if low <= 0 <= high:
        return (
            "The confidence interval includes 0: from this record, luck, good or bad, cannot be "
            "ruled out."
        )
    if high < 0:
        return "The confidence interval lies below 0: chance does not explain the loss."
    return (
        "The confidence interval lies above 0. It is computed as if this were the only trial: it "
        "does not account for the number of trials."
    )


def _fact(page: Page, name: str, form: str) -> str:
    value = page.metric(name)
    # The number of bars is infinite for a ratio at or below 0, and JSON has no infinity.
    if name == "min_track_record" and not math.isfinite(value) and page.metric("net_sharpe") <= 0:
        return "no number is enough"
    if name == "break_even_bps" and value <= 0:
        return "none: it loses before costs"
    return number_text(value, form)


def _tested(page: Page) -> list[tuple[str, str]]:
    contract, evidence = page.contract, page.evidence
    return [
        ("bars were read as", page.understood or "not recorded"),
        ("first bar of the data", evidence.first),
        ("last bar of the data", evidence.last),
        ("labelled rows", f"{evidence.rows:,}"),
        ("label kind", contract.task),
        ("horizon of the label, bars", f"{contract.horizon:,}"),
        ("fee, bps a side", f"{contract.fee_bps:g}"),
        ("slippage, bps a side", f"{contract.slippage_bps:g}"),
        ("bars in a year", f"{evidence.periods_per_year:,.0f}"),
        ("calibrator", evidence.calibrator),
        ("position rule", contract.position),
        ("threshold in production", _threshold(page)),
        *([("settings that differ from the defaults", page.settings)] if page.settings else []),
    ]


def _threshold(page: Page) -> str:
    """Return the threshold of the model; the rule break-even has none."""
    if not page.has_threshold and page.evidence.threshold is not None:
        return "none: it enters where the expected move pays for its costs"
    return number_text(page.evidence.threshold, ".4f", "do not trade")
