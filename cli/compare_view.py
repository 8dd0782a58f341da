"""Output of the command `compare`: a table for each symbol, notes on its contracts, and a link."""

from __future__ import annotations

import math
from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.table import widest
from trainer.text import number_text
from trainer.tracking.candidates import Candidate, CandidateVersion
from trainer.tracking.ranking import Comparison, Ranking, Row
from trainer.tracking.store import server_command

#: Fields of a contract that are digests, with the words that stand for them. Only their first
#: characters are printed.
_DIGESTS = {
    "feature_signature": "features",
    "data_digest": "bars",
    "walk_forward_plan": "walk-forward blocks",
}


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print the table of each symbol, its notes, and the link to its charts."""
    for ranking in comparison.rankings:
        console.print(_table(ranking, console))
        for line in _notes(ranking):
            console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)
        # soft_wrap: a link that is broken over two lines cannot be opened.
        console.print(f"Charts: {ranking.link}\n", highlight=False, markup=False, soft_wrap=True)
    if command := server_command(comparison.uri):
        console.print(
            f"Links open while this command runs: {command}",
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )


def _table(ranking: Ranking, console: Console) -> Table:
    several = len(ranking.rows) + ranking.left_out
    title = f"{ranking.symbol}: {several} candidate{'s' * (several > 1)}, walk-forward, after costs"

    def build(count: int) -> Table:
        table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD)
        table.add_column("", justify="right", no_wrap=True)
        for heading in ("model", "version", "status", "run"):
            table.add_column(heading, no_wrap=True)
        for heading, _ in _COLUMNS[:count]:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in ranking.rows:
            candidate = row.candidate
            table.add_row(
                _mark(row),
                escape(candidate.model),
                escape(", ".join(map(_version, candidate.versions)) or "-"),
                escape(candidate.status or "-"),
                _short(candidate.run_id),
                *(cell(candidate) for _, cell in _COLUMNS[:count]),
            )
        return table

    return widest(console, build, len(_COLUMNS), 1)


def _mark(row: Row) -> str:
    if row.differs:
        return "*"
    return "-" if row.place is None else str(row.place)


def _version(version: CandidateVersion) -> str:
    names = (name if name == "latest" else f"@{name}" for name in version.aliases)
    return " ".join((str(version.number), *names))


def _short(identity: str) -> str:
    return identity[:8]


def _metric(name: str, form: str) -> Callable[[Candidate], str]:
    def cell(candidate: Candidate) -> str:
        return number_text(candidate.metrics.get(name), form, undefined="-")

    return cell


def _confidence_interval(candidate: Candidate) -> str:
    lower, upper = (candidate.metrics.get(f"net_sharpe_{end}") for end in ("lower", "upper"))
    return "-" if lower is None or upper is None else f"{lower:.2f} to {upper:.2f}"


def _log_loss_difference(candidate: Candidate) -> str:
    """Return the log-loss less that of the base rate: below 0 the probabilities are better."""
    own, base = (
        candidate.metrics.get(name, math.nan) for name in ("log_loss", "base_rate_log_loss")
    )
    return number_text(own - base, "+.4f", undefined="-")


#: Heading, and the text of a candidate's cell. The last columns are left out first.
_COLUMNS: tuple[tuple[str, Callable[[Candidate], str]], ...] = (
    ("net\nSharpe", _metric("net_sharpe", ".2f")),
    ("95 %\ninterval", _confidence_interval),
    ("DSR", _metric("dsr", ".2f")),
    ("PBO", _metric("pbo", ".2f")),
    ("trades", _metric("n_trades", ".0f")),
    ("net\nreturn", _metric("net_return", "+.1%")),
    ("gross\nSharpe", _metric("gross_sharpe", ".2f")),
    ("hold\nSharpe", _metric("buy_hold_sharpe", ".2f")),
    ("less\nhold", _metric("less_hold", "+.2f")),
    ("log-loss\n- base", _log_loss_difference),
    ("started\n(UTC)", lambda candidate: f"{candidate.started:%Y-%m-%d %H:%M}"),
)


def _settings(ranking: Ranking) -> list[str]:
    """Return the settings of the runs, if they are not the same for all."""
    runs: dict[str, list[str]] = {}
    for row in ranking.rows:
        settings = row.candidate.settings or "the defaults"
        runs.setdefault(settings, []).append(_short(row.candidate.run_id))
    if len(runs) < 2:
        return []
    return [
        "Settings, as the names of the runs say them:",
        *(f"  {', '.join(names)}: {settings}" for settings, names in runs.items()),
    ]


def _notes(ranking: Ranking) -> list[str]:
    """Return the contract of the ranked rows, and how the contracts of the other rows differ."""
    settings = (
        f"{field} {_value(field, value)}"
        for field, value in ranking.contract.items()
        if field not in _DIGESTS
    )
    lines = [f"Ranked: {', '.join(settings) or 'contract unknown'}."]
    groups: dict[str, list[str]] = {}
    for row in ranking.rows:
        if row.differs:
            groups.setdefault(_differences(row), []).append(_short(row.candidate.run_id))
    if groups:
        lines.append(
            "* Another contract: these Sharpe ratios may not be ranked against the others."
        )
    for differences, runs in groups.items():
        lines.append(f"  run{'s' * (len(runs) > 1)} {', '.join(runs)}: {differences}")
    lines += _settings(ranking)
    if any(math.isfinite(row.candidate.metrics.get("dsr", math.nan)) for row in ranking.rows):
        lines.append(
            "DSR and PBO count the trials that existed when each candidate was trained; "
            "`barwright report` and `promote` count them again."
        )
    if ranking.searched:
        lines.append(
            f"{ranking.searched} trials of searches count, too, equal walk-forwards once; they "
            "have no model, so they have no place here."
        )
    if ranking.left_out:
        lines.append(f"{ranking.left_out} more without an alias; --all lists them.")
    return lines


def _differences(row: Row) -> str:
    return "; ".join(
        f"{_DIGESTS.get(field, field)} {_value(field, own)}, others {_value(field, common)}"
        for field, (own, common) in row.differs.items()
    )


def _value(field: str, value: str | None) -> str:
    if value is None:
        return "unknown"
    return _short(value) if field in _DIGESTS else value.removesuffix(".0")
