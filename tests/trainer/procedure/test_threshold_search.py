"""Threshold search: compared with a slow one, bar by bar."""

import re

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.procedure.threshold_search import optimise_threshold
from trainer.serving.holding_rules import Exit
from trainer.serving.position_rule import smooth_log_odds
from trainer.serving.rules import RuleSettings
from trainer.serving.threshold import Threshold
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import n_trades, net_returns, sharpe

COSTS = Terms(Costs(10, 5), 8760)
FREE = Terms(Costs(0, 0), 8760)


def slow_net_sharpe(p, move, value, costs, allow_short=True):
    """Bar by bar: one position, one cost."""
    held, net, trades = 0, [], 0
    for probability, r in zip(p, move, strict=True):
        if probability >= value:
            wanted = 1
        elif allow_short and 1 - probability >= value:
            wanted = -1
        else:
            wanted = 0
        rate = costs.costs.bps / 10_000
        net.append(wanted * r - rate * abs(wanted - held))
        trades += wanted not in (0, held)
        held = wanted
    deviation = np.std(net, ddof=1)
    if max(net) == min(net):
        return float("nan"), trades
    return float(np.mean(net) / deviation * np.sqrt(costs.periods_per_year)), trades


def market(n, edge, seed=0):
    """Probabilities that predict the direction of the move: `edge` per unit of p - 1/2."""
    rng = np.random.default_rng(seed)
    p = np.clip(0.5 + rng.normal(scale=0.1, size=n), 0, 1)
    return p, edge * (p - 0.5) + rng.normal(scale=0.01, size=n)


@pytest.mark.parametrize("allow_short", [True, False])
@pytest.mark.parametrize("edge", [0.0, 0.03, 0.08])
def test_search_is_the_slow_search(allow_short, edge):
    p, move = market(400, edge, seed=3)
    p[::7] = np.nan
    search = optimise_threshold(p, move, COSTS, min_trades=10, allow_short=allow_short)
    scores = []
    for value, ratio, trades in zip(
        search.candidates, search.net_sharpe, search.n_trades, strict=True
    ):
        slow_ratio, slow_trades = slow_net_sharpe(p, move, value, COSTS, allow_short)
        assert ratio == pytest.approx(slow_ratio, rel=1e-9, nan_ok=True)
        assert trades == slow_trades
        scores.append((slow_ratio if trades >= 10 else -np.inf, value))
    best = max(scores)
    assert search.threshold == Threshold(best[1] if best[0] > 0 else None, allow_short)
    assert (search.threshold.value is None) == (edge == 0.0)


def test_candidates_are_values_that_occur_from_the_lowest_to_the_highest():
    p = np.array([0.1, 0.35, 0.5, 0.62, np.nan, 0.8])
    both = optimise_threshold(p, np.zeros(6), FREE).candidates
    assert both.tolist() == sorted({1 - 0.1, 1 - 0.35, 0.5, 0.62, 0.8})
    longs = optimise_threshold(p, np.zeros(6), FREE, allow_short=False).candidates
    assert longs.tolist() == [0.5, 0.62, 0.8]
    many = optimise_threshold(np.linspace(0.5, 1, 4001), np.zeros(4001), FREE, n_candidates=5)
    assert many.candidates == pytest.approx([0.5, 0.625, 0.75, 0.875, 1.0])


def test_a_planted_signal_is_traded_where_it_is_worth_its_costs():
    # The gain of a bar is .05 * |p - .5| and a round trip costs .003: it pays from p = .56 on.
    p, move = market(20_000, 0.05)
    search = optimise_threshold(p, move, COSTS)
    assert 0.53 < search.threshold.value < 0.66
    net = net_returns(search.threshold.positions(p), move, Costs(10, 5))
    assert sharpe(net, 8760) == search.net_sharpe.max()
    free = optimise_threshold(p, move, FREE)
    assert free.threshold.value < search.threshold.value


def test_noise_is_not_traded_after_costs():
    chosen = [optimise_threshold(*market(4000, 0.0, seed), COSTS).threshold for seed in range(20)]
    assert [threshold.value for threshold in chosen] == [None] * 20


def test_do_not_trade_wins_ties():
    # Up and down by turns while long: the mean is exactly zero, and so is the ratio.
    p, move = np.full(100, 0.7), np.tile([0.25, -0.25], 50)
    search = optimise_threshold(p, move, FREE, min_trades=1)
    assert search.net_sharpe.tolist() == [0.0]
    assert search.threshold == Threshold(None)


def test_undefined_never_wins():
    search = optimise_threshold(np.full(50, 0.7), np.full(50, 0.01), FREE, min_trades=1)
    assert np.isnan(search.net_sharpe).all()
    assert search.threshold == Threshold(None)


def test_min_trades_to_the_trade():
    p = np.tile([0.9, 0.5], 30)
    move = np.tile([0.02, 0.0], 30) + np.tile([0.01, 0.0, -0.01, 0.0], 15)
    search = optimise_threshold(p, move, FREE)
    assert search.n_trades.tolist()[-1] == 30
    assert search.threshold.value == 0.9
    assert optimise_threshold(p, move, FREE, min_trades=31).threshold == Threshold(None)


def test_among_equal_ratios_the_higher_threshold_trades_less():
    # The bars at 0.6 do not move and cost nothing: both thresholds earn the same.
    p = np.tile([0.8, 0.5, 0.6, 0.5], 10)
    move = np.tile([0.02, 0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0], 5)
    search = optimise_threshold(p, move, FREE, min_trades=1, allow_short=False)
    assert search.candidates.tolist() == [0.5, 0.6, 0.8]
    assert search.net_sharpe[0] == search.net_sharpe[1] == search.net_sharpe[2]
    assert search.threshold.value == 0.8


def test_bars_without_a_decision_are_flat_and_leaving_costs():
    p = np.array([0.9, np.nan, 0.9])
    search = optimise_threshold(p, [0.0, 5.0, 0.0], COSTS, min_trades=1)
    expected = sharpe([-0.0015, -0.0015, -0.0015], 8760)
    assert search.net_sharpe == pytest.approx([expected], nan_ok=True)
    assert search.n_trades.tolist() == [2] == [n_trades([1, 0, 1])]


@pytest.mark.parametrize(("p", "allow_short"), [([np.nan] * 3, True), ([0.1, 0.2, 0.3], False)])
def test_no_probability_to_trade_on(p, allow_short):
    search = optimise_threshold(p, [0.0] * 3, COSTS, allow_short=allow_short)
    assert search.threshold == Threshold(None, allow_short)
    assert search.candidates.size == search.net_sharpe.size == search.n_trades.size == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: optimise_threshold([0.6], [0.1], COSTS, min_trades=0),
            "`min_trades` must be >= 1, got 0; use the default if in doubt",
        ),
        (
            lambda: optimise_threshold([0.6], [0.1], COSTS, n_candidates=0),
            "`n_candidates` must be >= 1, got 0",
        ),
        (
            lambda: optimise_threshold([0.6, 0.7], [0.1], COSTS),
            "`position` and `forward_return` must be of one length, got 2 and 1",
        ),
        (lambda: optimise_threshold([0.6], [np.nan], COSTS), "`forward_return` must be finite"),
        (lambda: optimise_threshold([1.6], [0.1], COSTS), "`probability` must be in [0, 1]"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(call, text):
    with pytest.raises(TrainerError, match=re.escape(text)):
        call()


@pytest.mark.parametrize("allow_short", [True, False])
def test_the_entry_of_a_rule_that_holds_is_searched_by_what_it_earns(allow_short):
    p, move = market(400, 0.05, seed=4)
    p[::9] = np.nan
    settings = RuleSettings("exit", allow_short)
    search = optimise_threshold(p, move, COSTS, min_trades=10, settings=settings)
    scores = []
    for value, ratio, trades in zip(
        search.candidates, search.net_sharpe, search.n_trades, strict=True
    ):
        position = Exit(value, allow_short).decide(p, held=0).position
        expected = sharpe(net_returns(position, move, COSTS.costs), 8760)
        assert ratio == pytest.approx(expected, nan_ok=True)
        assert trades == n_trades(position)
        scores.append((ratio if trades >= 10 else -np.inf, value))
    best = max(scores)
    assert search.threshold == Exit(best[1] if best[0] > 0 else None, allow_short)
    assert search.threshold.value is not None


@pytest.mark.parametrize(("edge", "trades"), [(0.3, True), (-0.3, False)])
def test_break_even_trades_only_if_it_earned_in_the_past(edge, trades):
    p, move = market(2_000, edge, seed=5)
    settings = RuleSettings("break-even", cost=0.0015, horizon=1)
    search = optimise_threshold(p, move, COSTS, settings=settings, volatility=np.full(2_000, 0.02))
    assert search.candidates.tolist() == [0.5]
    assert search.n_trades[0] >= 30
    assert bool(search.net_sharpe[0] > 0) == trades
    assert search.threshold == settings.rule(0.5 if trades else None)


def test_smoothed_probabilities_are_searched():
    p, move = market(400, 0.05, seed=4)
    search = optimise_threshold(p, move, FREE, settings=RuleSettings(smooth=3))
    smoothed = smooth_log_odds(p, 3)
    assert set(search.candidates) <= {*smoothed, *(1 - smoothed)}
    plain = optimise_threshold(smoothed, move, FREE)
    assert search.net_sharpe.tolist() == plain.net_sharpe.tolist()
    assert search.threshold == Threshold(plain.threshold.value, smooth=3)
