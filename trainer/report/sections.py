"""What the report says of each figure: heading, limits, numbers, and words beside the picture."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

#: Figure by figure, in the order a sceptic asks: heading, and what it shows and does not show.
SECTIONS = {
    "equity": (
        "What it would have earned",
        "Shows what 1 became over the walk-forward, compounded, and how far net fell from its "
        "peak; does not show what wide gaps in the bars, funding, borrowing or your own orders "
        "moving the price would have cost.",
    ),
    "costs": (
        "Does it survive costs?",
        "Shows the same positions at other costs, and the costs at which nothing is left; does not "
        "show what the model would have done had it been trained for those costs.",
    ),
    "dispersion": (
        "Is it one lucky stretch?",
        "Shows the headline's blocks, which were scored once, beside other ways to cut the same "
        "data; does not show independent trials: CPCV paths share data, so their spread is no "
        "standard error, and selection folds chose the threshold, so they flatter.",
    ),
    "null": (
        "Could luck do the same?",
        "Shows what this procedure earns where there is nothing to find but the market's drift; "
        "does not show the luck of choosing the best of several models, which the count of trials "
        "is for.",
    ),
    "regimes": (
        "When was it earned?",
        "Shows Sharpe ratios within parts of the walk-forward that were cut afterwards; does not "
        "show that a regime could have been known in advance, or that it will return.",
    ),
    "reliability": (
        "Do the probabilities mean what they say?",
        "Shows how often each probability came true out of sample, with errors that count "
        "overlapping labels once; does not show profit: honest probabilities can be too close to "
        "one half to pay for costs.",
    ),
    "thresholds": (
        "How the threshold was chosen",
        "Shows the out-of-fold curve that the production threshold was picked from; does not show "
        "performance: the highest of many points is too high (val_, not a headline).",
    ),
    "importance": (
        "What the model looks at",
        "Shows how much the out-of-fold ROC AUC falls when one feature is shuffled; does not show "
        "cause or profit, and features that say the same share their importance.",
    ),
}

#: Table under a figure: rows of the evidence, and (key, heading, format) of its columns.
_SHARPES = (("net_sharpe", "net Sharpe", ".2f"), ("gross_sharpe", "gross Sharpe", ".2f"))
_TABLES: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "equity": (
        "blocks",
        (
            ("block", "block", ".0f"),
            ("first", "first bar", "s"),
            ("last", "last bar", "s"),
            ("train_rows", "rows before", ",.0f"),
            ("test_rows", "rows", ",.0f"),
            ("threshold", "threshold", ".4f"),
            *_SHARPES,
            ("net_return", "net return", "+.1%"),
            ("n_trades", "trades", ",.0f"),
            ("turnover", "turnover", ",.0f"),
            ("log_loss", "log-loss", ".4f"),
            ("base_rate_log_loss", "of base rate", ".4f"),
        ),
    ),
    "costs": (
        "cost_stress",
        (
            ("multiple", "times the costs", "g"),
            ("bps_per_side", "bps a side", "g"),
            ("net_sharpe", "net Sharpe", ".2f"),
            ("net_return", "net return", "+.1%"),
        ),
    ),
    "regimes": (
        "regimes",
        (
            ("name", "regime", "s"),
            ("kind", "kind", "s"),
            ("bars", "bars", ",.0f"),
            *_SHARPES,
            ("buy_hold_sharpe", "hold Sharpe", ".2f"),
            ("net_return", "net return", "+.1%"),
            ("n_trades", "trades", ",.0f"),
            ("exposure", "exposure", ".0%"),
        ),
    ),
    "reliability": (
        "reliability",
        (
            ("probability", "mean probability", ".4f"),
            ("frequency", "share that rose", ".4f"),
            ("rows", "rows", ",.0f"),
        ),
    ),
    "thresholds": (
        "folds",
        (
            ("fold", "selection fold", ".0f"),
            ("log_loss", "val_log_loss", ".4f"),
            ("brier", "val_brier", ".4f"),
            ("roc_auc", "val_roc_auc", ".3f"),
            ("net_sharpe", "val_net_sharpe", ".2f"),
            ("gross_sharpe", "val_gross_sharpe", ".2f"),
            ("turnover", "val_turnover", ",.0f"),
        ),
    ),
    "importance": (
        "importance",
        (("feature", "feature", "s"), ("mean", "mean", ".2e"), ("std", "over folds", ".1e")),
    ),
}


def section(name: str, evidence: Mapping[str, Any], figures: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what the page shows of one figure, as plain values.

    Parameters
    ----------
    name : str
        One of `SECTIONS`.
    evidence : mapping
        What ``evidence.json`` holds.
    figures : mapping of str to bytes
        PNG bytes by name.

    Returns
    -------
    dict
        ``name, title, caption, table``, and ``source``, a data URI with ``width``, ``height`` and
        ``alt``; an empty ``source`` if there is no such figure.
    """
    title, caption = SECTIONS[name]
    rows, columns = _TABLES.get(name, ("", ()))
    found = {
        "name": name,
        "title": title,
        "caption": caption,
        "source": "",
        "table": {
            "caption": f"{title}: the numbers",
            "headings": [heading for _, heading, _ in columns],
            "rows": [[cell(row, k, form) for k, _, form in columns] for row in evidence[rows]]
            if rows
            else [],
        },
    }
    png = figures.get(name)
    if png is not None:
        # A PNG says its size in bytes 16 to 24; with it, the page does not jump as it loads.
        width, height = struct.unpack(">II", png[16:24])
        source = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
        alt = _alt(name, evidence)
        found |= {"source": source, "width": width, "height": height, "alt": alt}
    return found


def cell(row: Mapping[str, Any], key: str, form: str) -> str:
    """Return one value in words; what is null, missing or not finite is ``undefined``."""
    value = row.get(key)
    if form == "s":
        return "undefined" if value is None else str(value)
    if key == "threshold" and value is None:
        return "do not trade"
    if value is None or not math.isfinite(value):
        return "undefined"
    return format(value, form)


def _alt(name: str, evidence: Mapping[str, Any]) -> str:
    """Return a figure in a sentence of its own numbers, for a reader who hears the page."""
    found = evidence["metrics"]
    if name == "equity":
        net, hold = (cell(found, f"{way}_return", "+.1%") for way in ("net", "buy_hold"))
        return f"Equity lines: net return {net}, buy and hold {hold}, in the table below by block."
    if name == "costs":
        return "Net Sharpe ratio by multiple of costs: " + _pairs(
            evidence["cost_stress"], "multiple", "net_sharpe"
        )
    if name == "dispersion":
        paths = ", ".join(cell({"v": v or None}, "v", ".2f") for v in evidence["cpcv_net_sharpe"])
        return (
            f"Net Sharpe ratio by block: {_pairs(evidence['blocks'], 'block', 'net_sharpe')}; "
            f"of CPCV paths: {paths or 'none'}; by selection fold: "
            f"{_pairs(evidence['folds'], 'fold', 'net_sharpe')}."
        )
    if name == "null":
        known = sorted(v for v in evidence.get("null_net_sharpe", []) if v is not None)
        if not known:
            return "No null run traded."
        middle = known[len(known) // 2]
        return (
            f"Net Sharpe ratios of {len(known)} null runs: {known[0]:.2f} to {known[-1]:.2f}, "
            f"median about {middle:.2f}; headline {cell(found, 'net_sharpe', '.2f')}."
        )
    if name == "regimes":
        return "Net Sharpe ratio by regime: " + _pairs(evidence["regimes"], "name", "net_sharpe")
    if name == "reliability":
        return "Share that rose by mean probability: " + _pairs(
            evidence["reliability"], "probability", "frequency"
        )
    if name == "thresholds":
        chosen = cell(evidence, "threshold", ".4f")
        return f"Out-of-fold net Sharpe ratio by threshold; chosen: {chosen}."
    return "Fall of the ROC AUC by shuffled feature, largest first: " + _pairs(
        evidence["importance"][:5], "feature", "mean"
    )


def _pairs(rows: Iterable[Mapping[str, Any]], key: str, value: str) -> str:
    form = ".2g" if value == "mean" else ".2f"
    said = []
    for row in rows:
        at = row[key]
        said.append(f"{at if isinstance(at, str) else format(at, 'g')}: {cell(row, value, form)}")
    return ", ".join(said) or "none"
