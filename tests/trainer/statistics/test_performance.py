"""Metrics: against empyrical-reloaded and scikit-learn where they are defined, and by hand."""

import math
import re

import empyrical
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sk

from trainer.errors import TrainerError
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import (
    base_rate_log_loss,
    baselines,
    brier,
    expected_calibration_error,
    exposure,
    gross_returns,
    hit_rate,
    log_loss,
    max_drawdown,
    n_trades,
    net_returns,
    performance,
    probability_metrics,
    reliability_curve,
    roc_auc,
    sharpe,
    sortino,
    total_return,
    turnover,
)

COSTS = Costs(10, 5)  # 15 bps a side: 0.0015
FREE = Costs(0, 0)

returns_lists = st.lists(st.integers(-900, 900).map(lambda i: i / 10_000), min_size=2, max_size=60)
positions = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60)


def test_net_returns_by_hand():
    # flat, enter, hold, flip (pays twice), hold, leave, flat
    position = np.array([0, 1, 1, -1, -1, 0, 0], dtype=np.int8)
    move = np.array([0.5, 0.01, -0.02, 0.03, -0.01, 0.2, 0.3])
    expected = [0, 0.01 - 0.0015, -0.02, -0.03 - 0.003, 0.01, -0.0015, 0]
    assert net_returns(position, move, COSTS) == pytest.approx(expected, abs=1e-15)
    assert gross_returns(position, move) == pytest.approx([0, 0.01, -0.02, -0.03, 0.01, 0, 0])


def test_first_bar_pays_for_its_entry():
    assert net_returns([-1], [0.0], COSTS) == pytest.approx([-0.0015])


def test_fee_and_slippage_both_count():
    fee = net_returns([1, 1], [0, 0], Costs(10, 0))
    slippage = net_returns([1, 1], [0, 0], Costs(0, 5))
    assert fee.tolist() == [-0.001, 0]
    assert slippage.tolist() == [-0.0005, 0]


def test_close_out_charges_the_last_bar_for_what_is_still_held():
    open_end = net_returns([0, 1, -0.5], [0, 0, 0], COSTS)
    closed = net_returns([0, 1, -0.5], [0, 0, 0], COSTS, close_out=True)
    assert open_end == pytest.approx([0, -0.0015, -0.00225])
    assert closed == pytest.approx([0, -0.0015, -0.00225 - 0.00075])
    flat_end = net_returns([1, 0], [0, 0], COSTS, close_out=True)
    assert flat_end == pytest.approx([-0.0015, -0.0015])
    assert net_returns([], [], COSTS, close_out=True).size == 0


@given(positions, st.integers(0, 50), st.integers(0, 50))
def test_cost_of_a_whole_run_is_the_rate_times_turnover(position, fee_bps, slippage_bps):
    flat = np.zeros(len(position))
    net = net_returns(position, flat, Costs(fee_bps, slippage_bps))
    rate = (fee_bps + slippage_bps) / 10_000
    assert -net.sum() == pytest.approx(rate * turnover(position), abs=1e-12)
    closed = net_returns(position, flat, Costs(fee_bps, slippage_bps), close_out=True)
    round_trip = turnover([*position, 0])
    assert -closed.sum() == pytest.approx(rate * round_trip, abs=1e-12)


@given(positions, st.randoms(use_true_random=False))
def test_no_cost_is_gross_and_long_and_short_are_mirror_images(position, random):
    move = [random.gauss(0, 0.01) for _ in position]
    assert net_returns(position, move, FREE).tolist() == gross_returns(position, move).tolist()
    mirrored = net_returns([-p for p in position], [-r for r in move], COSTS)
    assert mirrored.tolist() == net_returns(position, move, COSTS).tolist()


@given(returns_lists, st.sampled_from([252, 8760, 1638]))
def test_ratios_and_drawdown_are_those_of_empyrical(values, periods):
    returns = np.array(values)
    if returns.min() < returns.max():
        expected = empyrical.sharpe_ratio(returns, annualization=periods)
        assert sharpe(returns, periods) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if returns.min() < 0:
        expected = empyrical.sortino_ratio(returns, annualization=periods)
        assert sortino(returns, periods) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert max_drawdown(returns) == pytest.approx(empyrical.max_drawdown(returns), abs=1e-12)
    assert total_return(returns) == pytest.approx(empyrical.cum_returns_final(returns), abs=1e-12)


def test_ratios_by_hand():
    returns = [0.01, -0.02, 0.03, 0.0]
    # mean .005; ddof-1 variance (.005^2 + .025^2 + .025^2 + .005^2) / 3; downside sqrt(.0004 / 4)
    assert sharpe(returns, 4) == pytest.approx(0.005 / math.sqrt(0.0013 / 3) * 2)
    assert sortino(returns, 4) == pytest.approx(0.005 / 0.01 * 2)
    assert total_return(returns) == pytest.approx(1.01 * 0.98 * 1.03 - 1)


def test_drawdown_starts_at_one():
    assert max_drawdown([-0.1, 0.2]) == pytest.approx(-0.1)
    assert max_drawdown([0.5, -0.5, 0.1]) == pytest.approx(-0.5)
    assert max_drawdown([0.1, 0.2]) == 0


def test_nothing_grows_back_after_ruin():
    returns = [0.5, -1.5, -3.0, 1.0]  # a short position in something that more than doubled
    assert total_return(returns) == -1
    assert max_drawdown(returns) == -1


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1, 1e-4, 0.3])
def test_sharpe_of_constant_returns_is_nan_not_inf(value):
    assert math.isnan(sharpe([value] * 7, 252))


@pytest.mark.parametrize("rate", [1e-3, -1e-3, 2e-5])
def test_sharpe_of_returns_that_are_constant_up_to_rounding_is_nan_not_1e14(rate):
    price = 100 * (1 + rate) ** np.arange(1_000)
    returns = price[1:] / price[:-1] - 1
    assert returns.min() < returns.max(), "they differ in their last bits"
    assert abs(returns.mean() / returns.std(ddof=1)) > 1e9
    assert math.isnan(sharpe(returns, 252))
    held = performance(np.ones(999), returns, Terms(FREE, 252))
    assert math.isnan(held["net_sharpe"])
    assert math.isnan(baselines(returns, Terms(FREE, 252))["buy_hold_sharpe"])


def test_returns_with_a_spread_above_rounding_have_a_sharpe_ratio():
    assert sharpe([1e-4, 1e-4 + 1e-9], 252) == pytest.approx(math.sqrt(252) * 1e-4 / 7.07e-10, 1e-3)


def test_sortino_of_losses_that_are_rounding_is_nan():
    assert math.isnan(sortino([0.01, -1e-17, 0.02, 0.0], 252))
    assert math.isnan(sortino([1e-17, -1e-17], 252))
    # A constant loss is a loss: its downside deviation is its size.
    assert sortino([-0.01] * 5, 252) == pytest.approx(-math.sqrt(252))


def test_undefined_is_nan():
    assert math.isnan(sharpe([0.1], 252))
    assert math.isnan(sortino([0.1], 252))
    assert math.isnan(sortino([0.1, 0.2], 252))
    assert math.isnan(hit_rate([0, 0], [0.1, 0.1]))
    for function in (max_drawdown, total_return, exposure, base_rate_log_loss):
        assert math.isnan(function([]))
    for function in (log_loss, brier, roc_auc, expected_calibration_error):
        assert math.isnan(function([], []))


@pytest.mark.parametrize(
    ("position", "trades", "traded", "exposed"),
    [
        ([0, 0, 0], 0, 0, 0),
        ([1, 1, 1], 1, 1, 1),
        ([0, 1, 1, 0, 1, 0], 2, 4, 0.5),
        ([1, -1, 1], 3, 5, 1),
        ([-1, -1, 0, 0, -1], 2, 3, 0.6),
        ([0.5, 1.0, 0.2, 0, -0.1], 2, 2.1, 0.8),
    ],
)
def test_trades_turnover_and_exposure(position, trades, traded, exposed):
    assert n_trades(position) == trades
    assert turnover(position) == pytest.approx(traded)
    assert exposure(position) == pytest.approx(exposed)


def test_hit_rate_counts_bars_in_the_market_only():
    # The third bar is flat: what it paid for leaving is not a miss, and its gain not a hit.
    assert hit_rate([1, -1, 0, 1], [0.1, -0.1, 0.5, 0.0]) == pytest.approx(1 / 3)


def test_performance_is_made_of_the_single_metrics():
    rng = np.random.default_rng(1)
    position, move = rng.integers(-1, 2, 500), rng.normal(0.0005, 0.01, 500)
    metrics = performance(position, move, Terms(COSTS, 8760))
    gross = position * move
    net = {k: net_returns(position, move, Costs(10 * k, 5 * k)) for k in (1, 2, 3)}
    expected = {
        "net_sharpe": sharpe(net[1], 8760),
        "gross_sharpe": sharpe(gross, 8760),
        "net_sortino": sortino(net[1], 8760),
        "net_max_drawdown": max_drawdown(net[1]),
        "net_return": total_return(net[1]),
        "gross_return": total_return(gross),
        "turnover": turnover(position),
        "n_trades": n_trades(position),
        "exposure": exposure(position),
        "hit_rate": hit_rate(position, net[1]),
        "n_bars": 500,
        "net_sharpe_cost2x": sharpe(net[2], 8760),
        "net_sharpe_cost3x": sharpe(net[3], 8760),
    }
    assert metrics == pytest.approx(expected)
    assert list(metrics) == list(expected)
    assert all(type(value) is float for value in metrics.values())
    ladder = ("gross_sharpe", "net_sharpe", "net_sharpe_cost2x", "net_sharpe_cost3x")
    assert sorted((metrics[name] for name in ladder), reverse=True) == [metrics[n] for n in ladder]


def test_performance_of_never_trading():
    flat = performance(np.zeros(9), np.full(9, 0.1), Terms(COSTS, 252))
    assert (flat["net_return"], flat["n_trades"], flat["turnover"]) == (0, 0, 0)
    ratios = ("net_sharpe", "gross_sharpe", "net_sortino", "net_sharpe_cost3x", "hit_rate")
    assert all(math.isnan(flat[name]) for name in ratios)


def test_buy_and_hold_pays_one_entry():
    move = np.array([0.01, -0.02, 0.03])
    net = [0.01 - 0.0015, -0.02, 0.03]
    assert baselines(move, Terms(COSTS, 252)) == pytest.approx(
        {"buy_hold_sharpe": sharpe(net, 252), "buy_hold_return": total_return(net)}
    )


scored_rows = st.lists(
    st.tuples(st.integers(0, 64).map(lambda i: i / 64), st.integers(0, 1)), min_size=2, max_size=60
)


@given(scored_rows)
def test_probability_metrics_are_those_of_scikit_learn(rows):
    p, y = (np.array(column) for column in zip(*rows, strict=True))
    assert log_loss(p, y) == pytest.approx(sk.log_loss(y, p, labels=[0, 1]), rel=1e-9)
    assert brier(p, y) == pytest.approx(np.mean((p - y) ** 2))
    if y.min() == y.max():
        assert math.isnan(roc_auc(p, y))
    else:
        assert roc_auc(p, y) == pytest.approx(sk.roc_auc_score(y, p))
        assert brier(p, y) == pytest.approx(sk.brier_score_loss(y, p))


@given(scored_rows)
def test_auc_is_the_share_of_pairs_in_order(rows):
    ones = [p for p, y in rows if y]
    zeros = [p for p, y in rows if not y]
    assume(ones and zeros)
    won = sum((a > b) + (a == b) / 2 for a in ones for b in zeros)
    p, y = zip(*rows, strict=True)
    assert roc_auc(p, y) == pytest.approx(won / len(ones) / len(zeros))


def test_log_loss_by_hand():
    assert log_loss([0.8, 0.4], [1, 0]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert log_loss([0.0], [1]) == pytest.approx(-math.log(np.finfo(float).eps))


def test_calibration_error_and_reliability_by_hand():
    # [0.2, 0.3): 0.21 and 0.25 against a share of 1/2; [0.9, 1]: 0.9 and 1.0 against 1.
    p, y = [0.21, 0.25, 0.9, 1.0], [0, 1, 1, 1]
    curve = reliability_curve(p, y)
    assert curve.probability == pytest.approx([0.23, 0.95])
    assert curve.frequency == pytest.approx([0.5, 1.0])
    assert curve.rows.tolist() == [2, 2]
    assert expected_calibration_error(p, y) == pytest.approx((0.27 + 0.05) / 2)
    # one bin: |mean p - mean y|; the bins weigh as many rows as they hold
    assert expected_calibration_error(p, y, n_bins=1) == pytest.approx(0.75 - 0.59)
    assert expected_calibration_error([0.05, 0.55, 0.55, 0.55], [1, 0, 0, 1]) == pytest.approx(
        0.25 * 0.95 + 0.75 * (0.55 - 1 / 3)
    )


def test_base_rate_log_loss_is_the_entropy_of_the_classes():
    y = [1, 0, 0, 0]
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert base_rate_log_loss(y) == pytest.approx(entropy)
    assert base_rate_log_loss([1, 1]) == pytest.approx(0, abs=1e-12)


def test_probability_metrics_names():
    p, y = [0.2, 0.9, 0.6], [0, 1, 0]
    assert probability_metrics(p, y) == {
        "log_loss": log_loss(p, y),
        "brier": brier(p, y),
        "roc_auc": roc_auc(p, y),
        "ece": expected_calibration_error(p, y),
        "base_rate_log_loss": base_rate_log_loss(y),
    }


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: net_returns([1], [0.1], Costs(-1, 0)),
            "`fee_bps` must be >= 0 basis points, got -1; use 0 for none",
        ),
        (
            lambda: net_returns([1], [0.1], Costs(0, math.nan)),
            "`slippage_bps` must be >= 0 basis points, got nan; use 0 for none",
        ),
        (
            lambda: net_returns([1, 1], [0.1, math.nan], COSTS),
            "`forward_return` must be finite, got nan in row 1; drop or fill such rows knowingly",
        ),
        (lambda: net_returns([math.nan], [0.1], COSTS), "`position` must be finite, got nan"),
        (lambda: gross_returns([1], [math.inf]), "`forward_return` must be finite, got inf"),
        (
            lambda: net_returns([1, 1], [0.1], COSTS),
            "`position` and `forward_return` must be of one length, got 2 and 1",
        ),
        (lambda: net_returns([[1]], [[1]], COSTS), "`position` must have one dimension, got"),
        (lambda: sharpe([0.1, math.nan], 252), "`returns` must be finite, got nan in row 1"),
        (lambda: sharpe([0.1, 0.2], 0), "`periods_per_year` must be > 0, got 0; use the number"),
        (lambda: sortino([0.1, 0.2], math.nan), "`periods_per_year` must be > 0, got nan"),
        (lambda: log_loss([1.1], [1]), "`probability` must be in [0, 1], got 1.1 in row 0"),
        (lambda: brier([0.5], [2]), "`y` must be 0 or 1, got 2.0 in row 0; use 1 for a rise"),
        (lambda: roc_auc([math.nan], [1]), "`probability` must be finite, got nan in row 0"),
        (lambda: reliability_curve([0.5], [1], 0), "`n_bins` must be >= 1, got 0"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(call, text):
    with pytest.raises(TrainerError, match=re.escape(text)):
        call()
