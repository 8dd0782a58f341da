"""One self-contained page on a candidate: verdict, headline, and every figure with its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from trainer.report.sections import SECTIONS, cell, section

#: Ways to earn, as metrics call them.
_WAYS = ("net", "gross", "buy_hold")
_FACTS = (
    ("psr", "P(true Sharpe > 0)", ".3f"),
    ("min_track_record", "bars needed to say so at 95 %", ",.0f"),
    ("n_bars", "bars there are", ",.0f"),
    ("n_trades", "trades", ",.0f"),
    ("exposure", "share of bars in the market", ".1%"),
    ("turnover", "turnover", ",.0f"),
    ("net_max_drawdown", "deepest drawdown, net", ".1%"),
    ("net_sortino", "Sortino ratio, net", ".2f"),
    ("break_even_bps", "break-even costs, bps a side", ".1f"),
    ("log_loss", "log-loss", ".4f"),
    ("base_rate_log_loss", "log-loss of the base rate", ".4f"),
    ("roc_auc", "ROC AUC", ".3f"),
)


def html(
    evidence: Mapping[str, Any],
    figures: Mapping[str, bytes],
    criteria: Sequence[Mapping[str, Any]],
    title_facts: Mapping[str, str],
) -> str:
    """Return the report as one page that needs no other file, no script and no network.

    Parameters
    ----------
    evidence : mapping
        What ``evidence.json`` holds; null is written as "undefined".
    figures : mapping of str to bytes
        PNG bytes by name, from `trainer.report.figures`. The page says "not measured" for a
        figure that is missing.
    criteria : sequence of mapping
        The gate: ``name``, ``figure``, ``rule``, ``passed``, ``why``. Whatever is not true
        failed. Empty: nothing was judged, and the page says so.
    title_facts : mapping of str to str
        More of what was tested: run, version, trials counted.

    Returns
    -------
    str
        HTML; every text of the arguments is escaped.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    judged = [
        {
            **{key: criterion.get(key, "") for key in ("name", "figure", "rule", "why")},
            "passed": criterion.get("passed") is True,
        }
        for criterion in criteria
    ]
    return environment.from_string(text).render(
        name=f"{evidence['model']}-{evidence['symbol']}",
        measured=_measured(evidence),
        verdict=_verdict(evidence, judged),
        criteria=judged,
        headline=_headline(evidence),
        sections=[section(name, evidence, figures) for name in SECTIONS],
        tested=_tested(evidence, title_facts),
    )


def _measured(evidence: Mapping[str, Any]) -> str:
    blocks = evidence["blocks"]
    first = str(blocks[0].get("first") or "?")[:10] if blocks else "?"
    last = str(blocks[-1].get("last") or "?")[:10] if blocks else "?"
    cost = float(evidence["fee_bps"]) + float(evidence["slippage_bps"])
    return (
        f"{evidence['interval']} bars; walk-forward {first} to {last} in "
        f"{len(blocks)} blocks, each scored once by what was trained before it; "
        f"costs {cost:g} bps a side"
    )


def _verdict(evidence: Mapping[str, Any], criteria: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    failed = [c for c in criteria if not c["passed"]]
    lines = ["Fails: " + ", ".join(str(c["name"]) for c in failed) + "."] if failed else []
    if not criteria:
        tone, mark, title = "none", "\N{EN DASH}", "Not judged: no criteria were applied"
    elif failed:
        tone, mark = "fail", "\N{BALLOT X}"
        title = f"Does not pass: {len(failed)} of {len(criteria)} criteria fail"
    else:
        tone, mark = "pass", "\N{CHECK MARK}"
        title = f"Passes all {len(criteria)} criteria"
    if evidence.get("threshold") is None or evidence.get("status") == "flat":
        lines.insert(0, "This version is flat: its threshold is \u201cdo not trade\u201d.")
    elif not criteria and evidence.get("status"):
        lines.insert(0, f"Its status is {evidence['status']}.")
    return {"tone": tone, "mark": mark, "title": title, "lines": lines}


def _headline(evidence: Mapping[str, Any]) -> dict[str, Any]:
    found = evidence["metrics"]
    low, high = found.get("net_sharpe_lower"), found.get("net_sharpe_upper")
    interval = "95 % interval undefined"
    if low is not None and high is not None:
        interval = f"95 % interval {low:.2f} to {high:.2f} (stationary bootstrap)"
    if found.get("n_trades") == 0:
        meaning = "The walk-forward never traded: there is nothing to judge."
    elif low is None or high is None:
        meaning = "Without an interval, the ratio may be anything."
    elif low <= 0 <= high:
        meaning = (
            "The interval includes 0: on this record alone, luck, good or bad, cannot be ruled out."
        )
    elif high < 0:
        meaning = "The interval lies below 0: it loses, and not by chance."
    else:
        meaning = (
            "The interval lies above 0, as if this were the only model ever tried: it does not "
            "know how many were."
        )
    rows = [
        ("Sharpe ratio", *(cell(found, f"{k}_sharpe", ".2f") for k in _WAYS), "undefined"),
        ("return", *(cell(found, f"{k}_return", "+.1%") for k in _WAYS), "+0.0%"),
    ]
    return {
        "value": cell(found, "net_sharpe", ".2f"),
        "interval": interval,
        "meaning": meaning,
        "facts": [(term, _fact(found, key, form)) for key, term, form in _FACTS],
        "table": {
            "caption": "Against the baselines",
            "headings": ("", "net", "gross", "buy and hold", "flat"),
            "rows": rows,
        },
    }


def _fact(found: Mapping[str, Any], key: str, form: str) -> str:
    ratio = found.get("net_sharpe")
    # Infinite, which JSON cannot say: a ratio at or below 0 is never shown to be above it.
    if key == "min_track_record" and found.get(key) is None and ratio is not None and ratio <= 0:
        return "no number would do"
    value = found.get(key)
    if key == "break_even_bps" and value is not None and value <= 0:
        return "none: it loses before costs"
    return cell(found, key, form)


def _tested(evidence: Mapping[str, Any], title_facts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        *((str(term), str(value)) for term, value in title_facts.items()),
        ("bars were read as", cell(evidence, "understood", "s")),
        ("first bar of the data", cell(evidence, "first", "s")),
        ("last bar of the data", cell(evidence, "last", "s")),
        ("labelled rows", cell(evidence, "rows", ",.0f")),
        ("horizon of the label, bars", cell(evidence, "horizon", ",.0f")),
        ("fee, bps a side", cell(evidence, "fee_bps", "g")),
        ("slippage, bps a side", cell(evidence, "slippage_bps", "g")),
        ("bars in a year", cell(evidence, "periods_per_year", ",.0f")),
        ("calibrator", cell(evidence, "calibrator", "s")),
        ("threshold in production", cell(evidence, "threshold", ".4f")),
    ]
