"""Results by regime: each bar counts once, and each value follows from the regime's bars only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from trainer.evidence.record import Record
from trainer.evidence.regimes import VOLATILITY_BARS, by_regime, trailing_volatility
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import n_trades, net_returns, sharpe, total_return

TERMS = Terms(Costs(10.0, 5.0), 8_760.0)


def record(n: int = 3_000) -> Record:
    rng = np.random.default_rng(0)
    times = pd.date_range("2021-11-01", periods=n, freq="1h").as_unit("ns").asi8
    position = np.repeat(rng.integers(-1, 2, n // 10), 10).astype(float)
    moves = rng.normal(0, 0.01, n)
    return Record(times, position, moves, np.full(n, 0.5), np.zeros(n))


def test_volatility_is_the_deviation_of_past_log_returns() -> None:
    close = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 400)))
    whole = trailing_volatility(close)
    assert np.isnan(whole[:VOLATILITY_BARS]).all()
    assert np.isfinite(whole[VOLATILITY_BARS:]).all()
    moves = np.diff(np.log(close[:251]))
    assert whole[250] == pytest.approx(moves[-VOLATILITY_BARS:].std(ddof=1))
    np.testing.assert_allclose(trailing_volatility(close[:300]), whole[:300], rtol=1e-9)


def test_each_bar_trade_and_return_is_in_one_tercile_and_one_year() -> None:
    made = record()
    volatility = np.random.default_rng(2).permutation(len(made)).astype(float)
    rows = by_regime(made, volatility, TERMS)
    assert [row.name for row in rows] == ["low", "middle", "high", "2021", "2022"]
    assert [row.bars for row in rows[:3]] == [1_000, 1_000, 1_000]
    assert [row.bars for row in rows[3:]] == [61 * 24, 3_000 - 61 * 24]
    net = net_returns(made.position, made.forward_return, Costs(10, 5))
    for kind in ("volatility", "year"):
        of_kind = [row for row in rows if row.kind == kind]
        assert sum(row.n_trades for row in of_kind) == n_trades(made.position)
        grown = np.prod([1 + row.net_return for row in of_kind])
        assert grown == pytest.approx(1 + total_return(net))
    low = volatility < 1_000
    assert rows[0].net_sharpe == sharpe(net[low], 8_760)
    # As in the headline: net of one entry, which is paid on the first bar.
    hold = made.forward_return.copy()
    hold[0] -= 15e-4
    assert rows[0].buy_hold_sharpe == pytest.approx(sharpe(hold[low], 8_760))
    assert rows[2].exposure == np.mean(made.position[volatility >= 2_000] != 0)


def test_bars_with_unknown_volatility_are_in_no_tercile() -> None:
    made = record(300)
    volatility = np.arange(300.0)
    volatility[:60] = np.nan
    rows = by_regime(made, volatility, TERMS)
    assert [row.bars for row in rows[:3]] == [80, 80, 80]
    assert {row.kind for row in by_regime(made, np.full(300, np.nan), TERMS)} == {"year"}
