"""Candidates of a symbol side by side: ranked, with a mark where their contracts differ."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from trainer.errors import TrainerError
from trainer.tracking.candidates import CONTRACT, Candidate, find_candidates, find_experiment
from trainer.tracking.store import STORE_ERRORS, open_store, shown, store_error

#: Rows of a symbol that are listed unless all are asked for.
LISTED = 20


@dataclass(frozen=True)
class Row:
    """A candidate's place in a ranking.

    Attributes
    ----------
    candidate : Candidate
    place : int or None
        Among those of the common contract; None if it has another one, or no Sharpe ratio.
    differs : dict of str to (str or None, str or None)
        Fields of the contract in which it is not the common one: its own value, and the common
        one; None where a value was not logged.
    """

    candidate: Candidate
    place: int | None
    differs: dict[str, tuple[str | None, str | None]]


@dataclass(frozen=True)
class Ranking:
    """Candidates of one symbol.

    Attributes
    ----------
    symbol : str
    rows : tuple of Row
        Best walk-forward net Sharpe ratio first; those without one last, newest first.
    contract : dict of str to str
        The most common contract; of equally common ones that of the better candidate.
    left_out : int
        Candidates that are not listed.
    link : str
        Address of the same candidates' charts in the MLflow UI.
    """

    symbol: str
    rows: tuple[Row, ...]
    contract: dict[str, str]
    left_out: int
    link: str


@dataclass(frozen=True)
class Comparison:
    """A ranking a symbol, and where it was found; `uri` is without its password."""

    experiment: str
    uri: str
    rankings: tuple[Ranking, ...]

    def plain(self) -> dict[str, Any]:
        """Return it in values that JSON knows; metrics keep their names in MLflow."""
        return {
            "experiment": self.experiment,
            "tracking_uri": self.uri,
            "symbols": [
                {
                    "symbol": ranking.symbol,
                    "contract": ranking.contract,
                    "left_out": ranking.left_out,
                    "link": ranking.link,
                    "candidates": [_plain(row) for row in ranking.rows],
                }
                for ranking in self.rankings
            ],
        }


def compare(
    symbols: Sequence[str],
    models: Sequence[str] = (),
    *,
    experiment: str = "barwright",
    everything: bool = False,
) -> Comparison:
    """Find the candidates of symbols and rank them.

    Parameters
    ----------
    symbols : sequence of str
    models : sequence of str
        Only these; all without any.
    experiment : str, default "barwright"
        MLflow experiment.
    everything : bool, default False
        List every candidate, and not only the best `LISTED` and those that an alias names.

    Returns
    -------
    Comparison

    Raises
    ------
    TrainerError
        If the store, the experiment, or candidates of a symbol or model are not there.
    """
    uri, client = open_store()
    # Its lines about opening a database are no part of the answer.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    rankings = []
    try:
        experiment_id = find_experiment(client, uri, experiment)
        found = {symbol: find_candidates(client, experiment_id, symbol) for symbol in symbols}
        for symbol, candidates in found.items():
            if not candidates:
                there = _names(c.symbol for c in find_candidates(client, experiment_id))
                raise TrainerError(
                    f"experiment {experiment!r} has no candidate of {symbol!r}, but of {there}; "
                    "name these as --symbols, or train it first"
                )
    except STORE_ERRORS as error:
        raise store_error(uri, error) from error
    _check_models(found, models)
    for symbol, candidates in found.items():
        wanted = [c for c in candidates if not models or c.model in models]
        # The search knows no `or`: models that were not asked for are taken out one by one.
        others = sorted({c.model for c in candidates} - {c.model for c in wanted})
        conditions = [f"tags.symbol='{symbol}'", *(f"tags.model!='{model}'" for model in others)]
        link = compare_link(uri, experiment_id, *conditions)
        rankings.append(rank(symbol, wanted, link, everything=everything))
    return Comparison(experiment, shown(uri), tuple(rankings))


def rank(
    symbol: str, candidates: Iterable[Candidate], link: str, *, everything: bool = False
) -> Ranking:
    """Order the candidates of a symbol and compare their contracts with the most common one.

    Parameters
    ----------
    symbol : str
    candidates : iterable of Candidate
        At least one.
    link : str
    everything : bool, default False
        As for `compare`.
    """
    ordered = sorted(candidates, key=_best_first)
    # Equal counts come in the order of first sight: that of the ranking.
    contracts = Counter(tuple(c.contract.get(field) for field in CONTRACT) for c in ordered)
    (values, _), *_ = contracts.most_common(1)
    pairs = zip(CONTRACT, values, strict=True)
    common = {field: value for field, value in pairs if value is not None}
    rows, place = [], 0
    for number, candidate in enumerate(ordered):
        differs = _differences(candidate.contract, common)
        ranked = not differs and math.isfinite(candidate.net_sharpe)
        place += ranked
        if everything or number < LISTED or any(v.aliases for v in candidate.versions):
            rows.append(Row(candidate, place if ranked else None, differs))
    return Ranking(symbol, tuple(rows), common, len(ordered) - len(rows), link)


def compare_link(uri: str, experiment_id: str, *conditions: str) -> str:
    """Address in the MLflow UI that ranks an experiment's candidates and draws their charts.

    Parameters
    ----------
    uri : str
        Tracking URI; for a database, the address is that of a server with MLflow's usual port.
    experiment_id : str
    *conditions : str
        Further conditions of the search, e.g. ``tags.symbol='EURUSD'``.
    """
    query = {
        "searchFilter": " and ".join(("tags.kind='candidate'", *conditions)),
        "orderByKey": "metrics.`wf_net_sharpe`",
        "orderByAsc": "false",
        "compareRunsMode": "CHART",
    }
    base = shown(uri) if uri.startswith("http") else "http://127.0.0.1:5000"
    # Quotes, spaces and backticks are encoded: terminals take them for the end of a link.
    fragment = urlencode(query, quote_via=quote)
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{fragment}"


def _plain(row: Row) -> dict[str, Any]:
    candidate = row.candidate
    return {
        "place": row.place,
        "run_id": candidate.run_id,
        "model": candidate.model,
        "started": candidate.started.isoformat(),
        "status": candidate.status or None,
        "versions": [
            {"version": v.number, "aliases": list(v.aliases), "status": v.status or None}
            for v in candidate.versions
        ],
        "metrics": {
            name: value
            for name, value in sorted(candidate.metrics.items())
            if name.startswith("wf_")
        },
        "contract": candidate.contract,
        "differs_in": list(row.differs),
    }


def _check_models(found: Mapping[str, list[Candidate]], models: Sequence[str]) -> None:
    """Refuse a model that no symbol has, and a symbol that has none of the models."""
    for symbol, candidates in found.items():
        there = {c.model for c in candidates}
        if models and not there & set(models):
            raise TrainerError(
                f"{symbol} has no candidate of {_names(models)}, but of {_names(there)}; name "
                "these as --models, or train it first"
            )
    everywhere = {c.model for candidates in found.values() for c in candidates}
    for model in models:
        if model not in everywhere:
            raise TrainerError(
                f"{_names(found)} has no candidate of {model}, but of {_names(everywhere)}; name "
                "these as --models, or train it first"
            )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


def _best_first(candidate: Candidate) -> tuple[bool, float, float]:
    sharpe, newest = candidate.net_sharpe, -candidate.started.timestamp()
    return (True, 0.0, newest) if math.isnan(sharpe) else (False, -sharpe, newest)


def _differences(
    own: Mapping[str, str], common: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    return {
        field: (own.get(field), common.get(field))
        for field in CONTRACT
        if own.get(field) != common.get(field)
    }
