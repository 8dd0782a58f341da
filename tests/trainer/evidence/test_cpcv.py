"""CPCV of the threshold against a slow, literal reading of the book."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from trainer.evidence.cpcv import N_FOLDS, N_PATHS, N_TEST_FOLDS, cpcv_net_sharpe
from trainer.procedure.splits import CombinatorialPurgedKFold
from trainer.procedure.threshold_search import optimise_threshold
from trainer.serving.rules import RuleSettings
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import net_returns, sharpe

SETTINGS: dict[str, Any] = {"terms": Terms(Costs(1.0, 0.5), 8_760.0), "allow_short": True}
HORIZON = 5


def walk(n: int, edge: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return synthetic probabilities that depend a little on the next return, and the returns."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.01, n)
    probability = np.clip(0.5 + edge * moves * 10 + rng.normal(0, 0.05, n), 0.01, 0.99)
    return probability, moves


def by_the_book(probability: np.ndarray, moves: np.ndarray) -> list[float]:
    """Cut the rows into six folds; test each pair with a threshold of the other four."""
    rows = np.flatnonzero(np.isfinite(probability))
    size, extra = divmod(len(rows), 6)
    sizes = [size + (k < extra) for k in range(6)]
    folds = np.split(rows, np.cumsum(sizes)[:-1])
    decided: dict[int, list[np.ndarray]] = {k: [] for k in range(6)}
    for pair in combinations(range(6), 2):
        train = []
        for bar in (bar for k in range(6) if k not in pair for bar in folds[k]):
            clear = True
            for k in pair:
                first, last = folds[k][0], folds[k][-1] + 1 + HORIZON
                if not (bar + 1 + HORIZON < first or bar > last + HORIZON):
                    clear = False
            if clear:
                train.append(bar)
        seen, gained = np.full(len(moves), np.nan), np.zeros(len(moves))
        seen[train], gained[train] = probability[train], moves[train]
        chosen = optimise_threshold(seen, gained, **SETTINGS).threshold
        for k in pair:
            decided[k].append(chosen.positions(probability[folds[k]]))
    ratios = []
    for path in range(5):
        position = np.zeros(len(moves))
        for k in range(6):
            position[folds[k]] = decided[k][path]
        net = net_returns(position, moves, Costs(1.0, 0.5))
        ratios.append(float(np.nan_to_num(sharpe(net, 8_760))))
    return ratios


@pytest.mark.parametrize("edge", [0.0, 0.2, 1.0])
def test_paths_are_those_of_the_book(edge: float) -> None:
    probability, moves = walk(1_207, edge)
    probability[200:230] = np.nan  # rows that were dropped
    ratios = cpcv_net_sharpe(probability, moves, horizon=HORIZON, **SETTINGS)
    assert ratios.tolist() == pytest.approx(by_the_book(probability, moves), rel=1e-12)


def test_a_signal_earns_on_every_path_and_noise_earns_nothing() -> None:
    strong = cpcv_net_sharpe(*walk(2_000, 2.0), horizon=HORIZON, **SETTINGS)
    assert (strong > 3).all()
    noise = [
        cpcv_net_sharpe(*walk(2_000, 0.0, seed), horizon=HORIZON, **SETTINGS).mean()
        for seed in range(20)
    ]
    assert np.mean(noise) < 0.5


def test_too_few_rows_are_undefined() -> None:
    ratios = cpcv_net_sharpe(*walk(20, 0.0), horizon=HORIZON, **SETTINGS)
    assert np.isnan(ratios).all()
    assert ratios.shape == (5,)


def test_the_number_of_paths_is_that_of_the_splitter() -> None:
    bars = np.arange(600)
    splitter = CombinatorialPurgedKFold(N_FOLDS, N_TEST_FOLDS, embargo=0, t0=bars, t1=bars)
    assert len(splitter.paths()) == N_PATHS == 5


def test_a_rule_that_holds_starts_each_fold_flat() -> None:
    """Each path is the slow one: every fold with the rule of its split, from a flat start."""
    rng = np.random.default_rng(8)
    n = 900
    p = np.clip(0.5 + 0.1 * rng.normal(size=n), 0, 1)
    ahead = 0.06 * (p - 0.5) + rng.normal(0, 0.01, n)
    p[::11] = np.nan
    terms, settings = Terms(Costs(1.0, 0.5), 8_760.0), RuleSettings("exit")
    paths = cpcv_net_sharpe(p, ahead, horizon=3, terms=terms, settings=settings)
    plain = cpcv_net_sharpe(p, ahead, horizon=3, terms=terms)
    assert (paths != plain).all()
    rows = np.flatnonzero(np.isfinite(p))
    splitter = CombinatorialPurgedKFold(N_FOLDS, N_TEST_FOLDS, embargo=3, t0=rows, t1=rows + 1 + 3)
    chosen = []
    for train, _ in splitter.split():
        known = np.full(n, np.nan)
        known[rows[train]] = p[rows[train]]
        moves = np.where(np.isnan(known), 0.0, ahead)
        chosen.append(optimise_threshold(known, moves, terms, settings=settings).threshold)
    for path, ratio in zip(splitter.paths(), paths, strict=True):
        position = np.zeros(n)
        for fold, split in zip(splitter.fold_rows(), path, strict=True):
            held = 0
            for bar in range(rows[fold[0]], rows[fold[-1]] + 1):
                held = int(chosen[split].decide(p[bar : bar + 1], held=held).position[0])
                position[bar] = held
        expected = np.nan_to_num(sharpe(net_returns(position, ahead, terms.costs), 8_760.0))
        assert ratio == pytest.approx(expected)
