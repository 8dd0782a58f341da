"""What a person sees of an audit: progress, a verdict for each feature, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from features.audit import Breach, Finding, Listen
from features.laws import Law

#: What usually is wrong with a feature that breaks a law, and what to do about it.
_ADVICE = {
    Law.PREFIX: "leave out what looks ahead: shift(-n), center=True, bfill, a mean, deviation or "
    "rank of the whole series, a higher-timeframe bar that has not closed",
    Law.START: "declare a longer `memory`, or forget the past: rolling windows in place of sums "
    "and means since the beginning",
    Law.LEVEL: "use ratios, log returns or rolling z-scores in place of prices and volumes",
}
_ADVICE[Law.FUTURE] = _ADVICE[Law.PREFIX]


@dataclass(frozen=True)
class Audited:
    """The audit of one symbol.

    Attributes
    ----------
    symbol : str
        Whose bars.
    bars : int
        How many.
    understood : str
        How the source was read.
    findings : tuple of Finding
        One a feature.
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
    """Show how far the audit of one symbol has come, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        lines: dict[str, Any] = {}

        def listen(phase: str, done: int, total: int) -> None:
            if phase not in lines:
                lines[phase] = progress.add_task(f"{symbol}, {phase}", total=total)
            # Every row is too often to be drawn.
            if done % 64 == 0 or done == total:
                progress.update(lines[phase], completed=done)

        yield listen


def print_verdicts(console: Console, audited: Sequence[Audited], *, build: str) -> None:
    """Print a verdict a feature, what was checked, and what to do next.

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
    count = len(audited[0].findings)
    symbols = ", ".join(one.symbol for one in audited)
    broken = list(dict.fromkeys(f.feature for one in audited for f in one.broken))
    if not broken:
        console.print(f"All {count} features keep all laws on {symbols}.", soft_wrap=one_line)
        console.print(f"Next:\n  {build}", markup=False, soft_wrap=True)
        return
    console.print(
        "difference: the largest, in units of the feature's root mean square; undefined: there is "
        "a value in one case only.",
        soft_wrap=one_line,
    )
    verb = "breaks" if len(broken) == 1 else "break"
    console.print(
        f"[red]{len(broken)} of {count} features {verb} a law[/red] on {symbols}: "
        f"{escape(', '.join(broken))}. A build looks at a few rows only, and refuses a feature "
        "that breaks a law there.",
        soft_wrap=one_line,
    )
    console.print("Next, repair them, or leave them out with --features:")
    advice: dict[str, list[str]] = {}
    for one in audited:
        for finding in one.broken:
            for breach in finding.breaches:
                names = advice.setdefault(_ADVICE[breach.law], [])
                if finding.feature not in names:
                    names.append(finding.feature)
    for text, names in advice.items():
        console.print(f"  {', '.join(names)}: {text}.", markup=False, soft_wrap=one_line)


def as_json(audited: Sequence[Audited], failed: Mapping[str, str]) -> dict[str, Any]:
    """Plain values of an audit, and why a symbol has none; an infinite difference is null."""
    return {
        "ok": not failed and not any(one.broken for one in audited),
        "failed": dict(failed),
        "symbols": [
            {
                "symbol": one.symbol,
                "bars": one.bars,
                "understood": one.understood,
                "features": [
                    {
                        "feature": finding.feature,
                        "memory": finding.memory,
                        "ok": not finding.breaches,
                        "checked": {law.value: count for law, count in finding.checked.items()},
                        "broken": [_plain(breach) for breach in finding.breaches],
                    }
                    for finding in one.findings
                ],
            }
            for one in audited
        ],
    }


def _plain(breach: Breach) -> dict[str, Any]:
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
                f"{breach.largest:.2g}" if math.isfinite(breach.largest) else "undefined",
            )
    return table


def _checked(one: Audited) -> str:
    """Say at how many bars each law was checked."""
    ends, levels = (_span(one, law) for law in (Law.FUTURE, Law.LEVEL))
    return (
        f"of {one.bars:,} bars, computed from their own memory at {_span(one, Law.START)}, later "
        f"bars left out and rewritten at {ends}, prices x4 and volumes x8 at {levels}"
    )


def _span(one: Audited, law: Law) -> str:
    counts = [finding.checked[law] for finding in one.findings]
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,} (by memory)"
