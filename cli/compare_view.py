"""What a person sees of a comparison: a table a symbol, what may not be ranked, the link."""

from __future__ import annotations

import math
from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.table import widest
from trainer.tracking.candidates import Candidate, Version
from trainer.tracking.ranking import Comparison, Ranking, Row

#: Digests are told apart by their first characters, and said in words.
_DIGESTS = {
    "feature_signature": "features",
    "data_digest": "bars",
    "walk_forward_plan": "walk-forward blocks",
}


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print each symbol's table, what its marks mean, and the link to its charts."""
    for ranking in comparison.rankings:
        console.print(_table(ranking, console))
        for line in _notes(ranking):
            console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)
        # soft_wrap: a link that is broken over two lines cannot be opened.
        console.print(f"Charts: {ranking.link}\n", highlight=False, markup=False, soft_wrap=True)
    if not comparison.uri.startswith("http"):
        console.print(
            "Links open while this runs: mlflow server --backend-store-uri "
            f"{comparison.uri} --workers 1",
            highlight=False,
            markup=False,
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
                *(read(candidate) for _, read in _COLUMNS[:count]),
            )
        return table

    return widest(console, build, len(_COLUMNS), 1)


def _mark(row: Row) -> str:
    if row.differs:
        return "*"
    return "-" if row.place is None else str(row.place)


def _version(version: Version) -> str:
    names = (name if name == "latest" else f"@{name}" for name in version.aliases)
    return " ".join((str(version.number), *names))


def _short(identity: str) -> str:
    return identity[:8]


def _figure(name: str, form: str) -> Callable[[Candidate], str]:
    def read(candidate: Candidate) -> str:
        value = candidate.metrics.get(name)
        return "-" if value is None else format(value, form)

    return read


def _interval(candidate: Candidate) -> str:
    lower, upper = (candidate.metrics.get(f"wf_net_sharpe_{end}") for end in ("lower", "upper"))
    return "-" if lower is None or upper is None else f"{lower:.2f} to {upper:.2f}"


def _gain(candidate: Candidate) -> str:
    """Log-loss minus the base rate's: below 0 the probabilities knew something."""
    own, base = (
        candidate.metrics.get(f"wf_{n}", math.nan) for n in ("log_loss", "base_rate_log_loss")
    )
    return "-" if math.isnan(own - base) else f"{own - base:+.4f}"


#: Heading, and how a candidate's cell reads; the last ones go first where there is no room.
_COLUMNS: tuple[tuple[str, Callable[[Candidate], str]], ...] = (
    ("net\nSharpe", _figure("wf_net_sharpe", ".2f")),
    ("95 %\ninterval", _interval),
    ("DSR", _figure("wf_dsr", ".2f")),
    ("PBO", _figure("wf_pbo", ".2f")),
    ("trades", _figure("wf_n_trades", ".0f")),
    ("net\nreturn", _figure("wf_net_return", "+.1%")),
    ("gross\nSharpe", _figure("wf_gross_sharpe", ".2f")),
    ("hold\nSharpe", _figure("wf_buy_hold_sharpe", ".2f")),
    ("log-loss\n- base", _gain),
    ("started\n(UTC)", lambda candidate: f"{candidate.started:%Y-%m-%d %H:%M}"),
)


def _notes(ranking: Ranking) -> list[str]:
    """Say under which contract rows are ranked, and how the marked ones differ from it."""
    said = (
        f"{field} {_said(field, value)}"
        for field, value in ranking.contract.items()
        if field not in _DIGESTS
    )
    lines = [f"Ranked: {', '.join(said) or 'contract unknown'}."]
    groups: dict[str, list[str]] = {}
    for row in ranking.rows:
        if row.differs:
            groups.setdefault(_difference(row), []).append(_short(row.candidate.run_id))
    if groups:
        lines.append(
            "* Another contract: these Sharpe ratios may not be ranked against the others."
        )
    for difference, runs in groups.items():
        lines.append(f"  run{'s' * (len(runs) > 1)} {', '.join(runs)}: {difference}")
    if any(math.isfinite(row.candidate.metrics.get("wf_dsr", math.nan)) for row in ranking.rows):
        lines.append(
            "DSR and PBO: against the trials there were when each was trained; `barwright report` "
            "and `promote` count them anew."
        )
    if ranking.left_out:
        lines.append(f"{ranking.left_out} more without an alias; --all lists them.")
    return lines


def _difference(row: Row) -> str:
    return "; ".join(
        f"{_DIGESTS.get(field, field)} {_said(field, own)}, others {_said(field, common)}"
        for field, (own, common) in row.differs.items()
    )


def _said(field: str, value: str | None) -> str:
    if value is None:
        return "unknown"
    return _short(value) if field in _DIGESTS else value.removesuffix(".0")
