"""Output of the command `audit`: its progress, the verdict on each feature, and the next step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from features.audit import Breach, Finding, Listen
from features.laws import Law
from trainer.text import number_text

#: The usual cause why a feature breaks a law, and its repair.
_ADVICE = {
    Law.PREFIX: "leave out what looks ahead: shift(-n), center=True, bfill, a mean, deviation or "
    "rank of the whole series, a higher-timeframe bar that has not closed",
    Law.START: "declare a longer `memory`, or use rolling windows in place of sums and means since "
    "the first bar",
    Law.LEVEL: "use ratios, log returns or rolling z-scores in place of prices and volumes",
}
_ADVICE[Law.FUTURE] = _ADVICE[Law.PREFIX]


@dataclass(frozen=True)
class Audited:
    """The audit of one symbol.

    Attributes
    ----------
    symbol : str
    bars : int
        Number of bars.
    understood : str
        How the source read the bars.
    findings : tuple of Finding
        One for each feature.
    """

    symbol: str
    bars: int
    understood: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> list[Finding]:
        """The features that break a law."""
        return [finding for finding in self.findings if finding.breaches]


@contextmanager
def progress_bar(console: Console, symbol: str) -> Iterator[Listen]:
    """Draw the progress of the audit of one symbol, if the console is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        lines: dict[str, TaskID] = {}

        def listen(phase: str, done: int, total: int) -> None:
            if phase not in lines:
                lines[phase] = progress.add_task(f"{symbol}, {phase}", total=total)
            # Drawing every row would take longer than checking it.
            if done % 64 == 0 or done == total:
                progress.update(lines[phase], completed=done)

        yield listen


def print_verdicts(console: Console, audited: Sequence[Audited], *, build: str) -> None:
    """Print the verdict on each feature, what was checked, and the next step.

    Parameters
    ----------
    console : rich.console.Console
    audited : sequence of Audited
        At least one; the same features in each.
    build : str
        The command that trains on these bars and features.
    """
    one_line = not console.is_terminal
    console.print(_table(audited))
    for one in audited:
        console.print(f"{one.symbol}: {one.understood}.", markup=False, soft_wrap=one_line)
        console.print(f"{one.symbol}: {_checked(one)}.", markup=False, soft_wrap=one_line)
    symbols = ", ".join(one.symbol for one in audited)
    broken = list(dict.fromkeys(f.feature for one in audited for f in one.broken))
    if broken:
        _print_broken(console, audited, broken, symbols)
        return
    count = len(audited[0].findings)
    console.print(f"All {count} features satisfy all laws on {symbols}.", soft_wrap=one_line)
    console.print(f"Next:\n  {build}", markup=False, emoji=False, soft_wrap=True)


def _print_broken(
    console: Console, audited: Sequence[Audited], broken: Sequence[str], symbols: str
) -> None:
    """Print the features that break a law, and how to repair them."""
    one_line = not console.is_terminal
    console.print(
        "difference: the largest one, in units of the feature's root mean square; undefined: only "
        "one of the two values exists.",
        soft_wrap=one_line,
    )
    verb = "breaks" if len(broken) == 1 else "break"
    console.print(
        f"[red]{len(broken)} of {len(audited[0].findings)} features {verb} a law[/red] on "
        f"{symbols}: {escape(', '.join(broken))}. Building a dataset checks a few rows only; it "
        "refuses a feature that breaks a law in one of them.",
        soft_wrap=one_line,
    )
    console.print("Next, repair them, or leave them out with --features:")
    for text, names in _advice(audited).items():
        console.print(f"  {', '.join(names)}: {text}.", markup=False, soft_wrap=one_line)


def _advice(audited: Sequence[Audited]) -> dict[str, list[str]]:
    """Return each advice that applies, with the features that it applies to."""
    advice: dict[str, list[str]] = {}
    for one in audited:
        for finding in one.broken:
            for breach in finding.breaches:
                names = advice.setdefault(_ADVICE[breach.law], [])
                if finding.feature not in names:
                    names.append(finding.feature)
    return advice


def to_json(audited: Sequence[Audited], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return JSON values of the audits and, by symbol, the errors of those that failed.

    An infinite difference is null.
    """
    return {
        "ok": not failed and not any(one.broken for one in audited),
        "failed": dict(failed),
        "symbols": [
            {
                "symbol": one.symbol,
                "bars": one.bars,
                "understood": one.understood,
                "features": [_finding_to_json(finding) for finding in one.findings],
            }
            for one in audited
        ],
    }


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "feature": finding.feature,
        "memory": finding.memory,
        "ok": not finding.breaches,
        "checked": {law.value: count for law, count in finding.checked.items()},
        "broken": [_breach_to_json(breach) for breach in finding.breaches],
    }


def _breach_to_json(breach: Breach) -> dict[str, Any]:
    return {
        "law": breach.law.value,
        "what": breach.law.breach,
        "first": breach.first.isoformat(),
        "rows": breach.rows,
        "largest": breach.largest if math.isfinite(breach.largest) else None,
    }


def _table(audited: Sequence[Audited]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Audit of features", title_justify="left")
    several = len(audited) > 1
    for heading in ("feature", "verdict", *(["symbol"] if several else [])):
        table.add_column(heading)
    for heading in ("first at (UTC)", "bars", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for findings in zip(*(one.findings for one in audited), strict=True):
        name = escape(findings[0].feature)
        rows = [
            (one.symbol, breach)
            for one, finding in zip(audited, findings, strict=True)
            for breach in finding.breaches
        ]
        if not rows:
            table.add_row(name, "ok")
        for i, (symbol, breach) in enumerate(rows):
            table.add_row(
                name if i == 0 else "",
                f"[red]{breach.law.value}[/red]: {breach.law.breach}",
                *([symbol] if several else []),
                f"{breach.first:%Y-%m-%d %H:%M}",
                f"{breach.rows:,}",
                number_text(breach.largest, ".2g"),
            )
    return table


def _checked(one: Audited) -> str:
    """Return at how many bars each law was checked, in words."""
    ends, levels = (_span(one, law) for law in (Law.FUTURE, Law.LEVEL))
    return (
        f"of {one.bars:,} bars, computed from their own memory at {_span(one, Law.START)}, later "
        f"bars left out and rewritten at {ends}, prices x4 and volumes x8 at {levels}"
    )


def _span(one: Audited, law: Law) -> str:
    counts = [finding.checked[law] for finding in one.findings]
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,} (by memory)"
