"""A ranking of the candidates of a symbol; those with another contract have no place in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from trainer.errors import TrainerError
from trainer.evidence.metric_names import stored_name, to_stored
from trainer.tracking.candidates import (
    CONTRACT,
    Candidate,
    count_search_trials,
    find_candidates,
    find_experiment,
    newest_symbols,
)
from trainer.tracking.store import STORE_ERRORS, open_store, redacted, store_error
from trainer.tracking.tag_names import CANDIDATE, KIND, MODEL, SYMBOL

#: Candidates of a symbol that are listed by default.
LISTED = 20


@dataclass(frozen=True)
class Row:
    """A candidate's place in a ranking.

    Attributes
    ----------
    candidate : Candidate
    place : int or None
        Place among the candidates with the common contract; None for another contract, or without
        a Sharpe ratio.
    differs : dict of str to (str or None, str or None)
        Settings of `CONTRACT` that are not those of the common contract: the candidate's own
        value, and the common one; None where a value was not logged.
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
        Best net Sharpe ratio of the walk-forward first; those without one last, newest first.
    contract : dict of str to str
        The most common contract; among equally common ones the contract of the better candidate.
    left_out : int
        Candidates that are not listed.
    link : str
        Address in MLflow's UI with the charts of the same candidates.
    searched : int
        Trials of searches on this symbol; they have no model, and count as trials.
    """

    symbol: str
    rows: tuple[Row, ...]
    contract: dict[str, str]
    left_out: int
    link: str
    searched: int = 0


@dataclass(frozen=True)
class Comparison:
    """The rankings of symbols.

    Attributes
    ----------
    experiment : str
    uri : str
        Tracking URI, without password.
    rankings : tuple of Ranking
        One for each symbol, in the order of the request.
    """

    experiment: str
    uri: str
    rankings: tuple[Ranking, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the rankings as JSON values; metrics have their stored names."""
        return {
            "experiment": self.experiment,
            "tracking_uri": self.uri,
            "symbols": [
                {
                    "symbol": ranking.symbol,
                    "contract": ranking.contract,
                    "left_out": ranking.left_out,
                    "search_trials": ranking.searched,
                    "link": ranking.link,
                    "candidates": [_row_to_json(row) for row in ranking.rows],
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
    """Read the candidates of symbols from the store and rank them.

    Parameters
    ----------
    symbols : sequence of str
    models : sequence of str
        Models to rank; all by default.
    experiment : str, default "barwright"
        MLflow experiment.
    everything : bool, default False
        List every candidate. By default, the best `LISTED` and those that an alias points to.

    Returns
    -------
    Comparison

    Raises
    ------
    TrainerError
        If the store or the experiment does not exist, a symbol has no candidate, or a model has
        none.
    """
    uri, client = open_store()
    try:
        experiment_id = find_experiment(client, uri, experiment)
        candidates = {symbol: find_candidates(client, experiment_id, symbol) for symbol in symbols}
        searched = {s: count_search_trials(client, experiment_id, s) for s in symbols}
        for symbol in symbols:
            if not candidates[symbol]:
                others = _names(newest_symbols(client, experiment_id))
                raise TrainerError(
                    f"experiment {experiment!r} has no candidate of {symbol!r}; its newest ones "
                    f"are of {others}; name these as --symbols, or train it first"
                )
    except STORE_ERRORS as error:
        raise store_error(uri, error) from error
    _check_models(candidates, models)
    rankings = []
    for symbol, of_symbol in candidates.items():
        wanted = [c for c in of_symbol if not models or c.model in models]
        # MLflow's search has no `or`: models that were not requested are excluded one by one.
        excluded = sorted({c.model for c in of_symbol} - {c.model for c in wanted})
        conditions = [f"tags.{SYMBOL}='{symbol}'", *(f"tags.{MODEL}!='{m}'" for m in excluded)]
        link = compare_link(uri, experiment_id, *conditions)
        ranking = rank(symbol, wanted, link, everything=everything)
        rankings.append(replace(ranking, searched=searched[symbol]))
    return Comparison(experiment, redacted(uri), tuple(rankings))


def rank(
    symbol: str, candidates: Iterable[Candidate], link: str, *, everything: bool = False
) -> Ranking:
    """Sort the candidates of a symbol and compare their contracts with the most common one.

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
    # `Counter` keeps the order of the ranking among equal counts.
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
    """Return the address in MLflow's UI that ranks candidates and draws their charts.

    Parameters
    ----------
    uri : str
        Tracking URI. For a database the address is that of a local server with MLflow's default
        port.
    experiment_id : str
    *conditions : str
        Further conditions of the search, e.g. ``tags.symbol='EURUSD'``.
    """
    query = {
        "searchFilter": " and ".join((f"tags.{KIND}='{CANDIDATE}'", *conditions)),
        "orderByKey": f"metrics.`{stored_name('net_sharpe')}`",
        "orderByAsc": "false",
        "compareRunsMode": "CHART",
    }
    base = redacted(uri) if uri.startswith("http") else "http://127.0.0.1:5000"
    # Terminals end a link at quotes, spaces and backticks, so these are encoded.
    fragment = urlencode(query, quote_via=quote)
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{fragment}"


def _row_to_json(row: Row) -> dict[str, Any]:
    candidate = row.candidate
    return {
        "place": row.place,
        "run_id": candidate.run_id,
        "settings": candidate.settings,
        "model": candidate.model,
        "started": candidate.started.isoformat(),
        "status": candidate.status or None,
        "versions": [
            {"version": v.number, "aliases": list(v.aliases), "status": v.status or None}
            for v in candidate.versions
        ],
        "metrics": dict(sorted(to_stored(candidate.metrics).items())),
        "contract": candidate.contract,
        "differs_in": list(row.differs),
    }


def _check_models(candidates: Mapping[str, list[Candidate]], models: Sequence[str]) -> None:
    """Raise for a symbol without a candidate of these models, and for a model without any."""
    for symbol, of_symbol in candidates.items():
        trained = {c.model for c in of_symbol}
        if models and not trained & set(models):
            raise TrainerError(
                f"{symbol} has no candidate of {_names(models)}, but of {_names(trained)}; name "
                "these as --models, or train it first"
            )
    trained = {c.model for of_symbol in candidates.values() for c in of_symbol}
    for model in models:
        if model not in trained:
            raise TrainerError(
                f"{_names(candidates)} has no candidate of {model}, but of {_names(trained)}; "
                "name these as --models, or train it first"
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
