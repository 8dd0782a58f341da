"""Study of the gate's rule `--against hold`: how often it passes, by true advantage and years."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.measure import BenchmarkResult, Options
from trainer.arrays import FloatArray
from trainer.dataset import read_bars
from trainer.statistics.bootstrap import sharpe_difference
from trainer.statistics.performance import sharpe

#: True advantage: Sharpe ratio of the strategy less that of holding, annualised.
_ADVANTAGES = (0.0, 1.0, 2.0, 3.0)
_YEARS = (2, 4, 8)
#: Slope of the strategy's returns on those of holding: models have .1 to .25, trend followers more.
_BETAS = (0.2, 0.8)
_DAYS = 365
#: Length of the drawn blocks of days: the volatility of weeks stays together.
_BLOCK = 20


def run(options: Options) -> BenchmarkResult:
    source = options.source or "sample"
    symbol = (*options.symbols, "EURUSD" if source == "sample" else "BTCUSDT")[0]
    bars = read_bars(source, symbol, "1h", calendar="auto", allow_jumps=False).to_frame()
    closes = bars.set_index("timestamp")["close"].resample("1D").last().dropna()
    days = np.asarray(closes.pct_change().dropna(), dtype=np.float64)
    # The gate draws 1,000 resamples; 400 give the same share within noise.
    paths, replications = options.pick(100, 4), options.pick(400, 50)
    rows = [
        [f"{beta}", str(years), *_passes(days, beta, years, paths, replications)]
        for beta in _BETAS
        for years in _YEARS
    ]
    result = BenchmarkResult(
        "against_hold",
        f"SIMULATED strategies: days of {symbol} from {source} ({len(days):,}), drawn in blocks of "
        f"{_BLOCK}; {paths} paths a cell. Holding has the Sharpe ratio {sharpe(days, _DAYS):.2f}; "
        "a strategy has beta times its returns, independent returns of equal size, and the stated "
        "advantage in its true Sharpe ratio.",
        data={"days": len(days)},
    )
    result.add_table(
        "share of strategies that pass `--against hold`, by their true advantage",
        ["beta", "years", *(f"+{advantage:g}" for advantage in _ADVANTAGES)],
        rows,
    )
    return result


def _passes(
    days: FloatArray, beta: float, years: int, paths: int, replications: int
) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for advantage in _ADVANTAGES:
        passed = 0
        for _ in range(paths):
            hold, own = _drawn(days, years * _DAYS, rng), _drawn(days, years * _DAYS, rng)
            strategy = beta * (hold - days.mean()) + (own - days.mean())
            deviation = days.std(ddof=1) * np.sqrt(1 + beta**2)
            wanted = sharpe(days, _DAYS) + advantage
            strategy += wanted / np.sqrt(_DAYS) * deviation
            difference = sharpe_difference(strategy, hold, _DAYS, seed=0, replications=replications)
            passed += difference.lower > 0
        yield f"{passed / paths:.0%}"


def _drawn(days: FloatArray, length: int, rng: np.random.Generator) -> FloatArray:
    """Return days in blocks that begin anywhere, as one series."""
    starts = rng.integers(0, len(days) - _BLOCK, -(-length // _BLOCK))
    drawn: FloatArray = days[(starts[:, None] + np.arange(_BLOCK)).ravel()[:length]]
    return drawn
