"""PPO with the vectorised market against stable-baselines3 with one Python environment."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from adapters.base import Batch
from adapters.ppo import PPOAdapter
from adapters.ppo_training import make_market
from adapters.torch_tools import Standardiser, deterministic
from adapters.trading_env import TradingEnv
from benchmarks.measure import SPREAD_HEAD, BenchmarkResult, Options, Target, spread
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns, sharpe

_HOURS = 8_760
#: Correlation of the planted signal with its value one bar earlier.
_PERSISTENCE = 0.95


def run(options: Options) -> BenchmarkResult:
    n, rounds = options.pick(20_000, 2_000), options.repeats(3)
    steps = options.pick(int(PPOAdapter.defaults["timesteps"]), 16_384)
    few_steps = options.pick(8_192, 2_048)
    train, valid, test = (planted(size, seed) for seed, size in enumerate((n, max(500, n // 5), n)))
    rates: dict[str, list[float]] = {"vectorised": [], "one environment": []}
    sharpes: list[float] = []
    for seed in range(rounds):
        params = {"timesteps": steps, "patience": 10_000}
        model = PPOAdapter(task="classification", seed=seed, params=params)
        started = time.process_time()
        model.fit(train, valid)
        rates["vectorised"].append(steps / (time.process_time() - started))
        sharpes.append(net_sharpe(model.rollout(test.X, test.position), test))
        rates["one environment"].append(_one_environment(train, few_steps, seed))
    result = BenchmarkResult(
        "ppo",
        f"Learning included, {n:,} SYNTHETIC bars with a planted signal that fades slowly and "
        "costs of 15 bp a side. One environment: stable-baselines3's PPO with DummyVecEnv over one "
        "TradingEnv and its own defaults. Vectorised: PPOAdapter, which also evaluates the greedy "
        "policy on held-out rows after every round.",
    )
    result.add_spreads("environment steps a CPU second", rates, ",.0f")
    fast = statistics.median(rates["vectorised"])
    result.targets.append(Target("steps a CPU second", fast, 40_000, True))
    _add_sharpes(result, sharpes, attainable(test), steps)
    ratio = fast / statistics.median(rates["one environment"])
    result.notes.append(f"vectorised / one environment: {ratio:.1f}x steps a CPU second")
    return result


def _add_sharpes(result: BenchmarkResult, sharpes: list[float], best: float, steps: int) -> None:
    """Add the net Sharpe ratios of the policies, compared with the best rule."""
    result.add_table(
        "net Sharpe ratio (annual) of the greedy policy on rows that were not fitted on",
        ["", *SPREAD_HEAD],
        [
            [f"{steps:,} steps", *spread(sharpes, ".1f")],
            ["best rule with the signal as input", "", f"{best:.1f}", ""],
        ],
    )
    share = statistics.median(sharpes) / best
    result.targets.append(Target("share of the attainable net Sharpe", share, 0.6, True))


def planted(n: int, seed: int, strength: float = 0.4) -> Batch:
    """Return SYNTHETIC rows: the first feature fades slowly and moves the next return.

    Parameters
    ----------
    n, seed : int
        Number of rows, and seed of the random numbers.
    strength : float, default 0.4
        Change of the next return per unit of the signal, in standard deviations of the noise.
    """
    rng = np.random.default_rng(seed)
    signal = np.zeros(n)
    for i in range(1, n):
        signal[i] = _PERSISTENCE * signal[i - 1] + np.sqrt(1 - _PERSISTENCE**2) * rng.normal()
    X = rng.normal(size=(n, 54)).astype(np.float32)
    X[:, 0] = signal
    returns = 0.004 * (strength * signal + rng.normal(size=n))
    return Batch(X, (returns > 0).astype(float), np.ones(n), np.arange(n), returns, 0.0015)


def net_sharpe(position: np.ndarray, batch: Batch) -> float:
    """Return the net Sharpe ratio; 0 for a policy that never trades."""
    assert batch.forward_return is not None
    net = net_returns(position, batch.forward_return, Costs(10, 5))
    return sharpe(net, _HOURS) if net.std() else 0.0


def attainable(batch: Batch) -> float:
    """Return the best net Sharpe ratio of the rules that read the signal.

    A rule enters a position beyond one level of the signal, and leaves it below another level.
    """
    best = 0.0
    for enter in np.arange(0.1, 1.5, 0.1):
        for leave in np.arange(0.0, enter, 0.1):
            position, positions = 0, []
            for value in batch.X[:, 0].tolist():
                if abs(value) > enter:
                    position = 1 if value > 0 else -1
                elif abs(value) < leave:
                    position = 0
                positions.append(position)
            best = max(best, net_sharpe(np.array(positions), batch))
    return best


def _one_environment(train: Batch, steps: int, seed: int) -> float:
    """Return steps per CPU second of stable-baselines3 with one environment."""
    market = make_market(train, Standardiser.of(train.X))
    with deterministic(seed):
        env = DummyVecEnv([lambda: TradingEnv(market, episode_bars=128)])
        learner = PPO("MlpPolicy", env, seed=seed, device="cpu", verbose=0)
        learner.set_logger(Logger(folder=None, output_formats=[]))
        torch.set_num_threads(1)
        started = time.process_time()
        learner.learn(steps)
        return learner.num_timesteps / (time.process_time() - started)
