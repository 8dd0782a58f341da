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
from benchmarks.measure import Options, Report, Target
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns, sharpe

_HOURS = 8_760
_FADE = 0.95


def run(options: Options) -> Report:
    n, rounds = options.pick(20_000, 2_000), options.repeats(3)
    budget = options.pick(int(PPOAdapter.defaults["timesteps"]), 16_384)
    small = options.pick(8_192, 2_048)
    train, valid, test = (planted(size, seed) for seed, size in enumerate((n, max(500, n // 5), n)))
    rates: dict[str, list[float]] = {"vectorised": [], "one environment": []}
    sharpes: list[float] = []
    for seed in range(rounds):
        params = {"timesteps": budget, "patience": 10_000}
        model = PPOAdapter(task="classification", seed=seed, params=params)
        started = time.process_time()
        model.fit(train, valid)
        rates["vectorised"].append(budget / (time.process_time() - started))
        sharpes.append(net_sharpe(model.rollout(test.X, test.position), test))
        rates["one environment"].append(_one_environment(train, small, seed))
    report = Report(
        "ppo",
        f"Learning included, {n:,} SYNTHETIC bars with a planted signal that fades slowly and "
        "costs of 15 bp a side. One environment: stable-baselines3's PPO with DummyVecEnv over one "
        "TradingEnv and its own defaults. Ours includes a greedy pass over held-out rows after "
        "every round.",
    )
    report.add_table(
        "environment steps a CPU second",
        ["", "min", "median", "max"],
        [
            [name, *(f"{f(values):,.0f}" for f in (min, statistics.median, max))]
            for name, values in rates.items()
        ],
    )
    best = attainable(test)
    report.add_table(
        "net Sharpe (annual) of the greedy policy on rows never seen",
        ["", "min", "median", "max"],
        [
            [f"{budget:,} steps", *(f"{f(sharpes):.1f}" for f in (min, statistics.median, max))],
            ["best rule that knows the signal", "", f"{best:.1f}", ""],
        ],
    )
    fast = statistics.median(rates["vectorised"])
    report.targets.append(Target("steps a CPU second", fast, 40_000, True))
    share = statistics.median(sharpes) / best
    report.targets.append(Target("share of the attainable net Sharpe", share, 0.6, True))
    ratio = fast / statistics.median(rates["one environment"])
    report.notes.append(f"vectorised / one environment: {ratio:.1f}x steps a CPU second")
    return report


def planted(n: int, seed: int, strength: float = 0.4) -> Batch:
    """SYNTHETIC: the first feature fades slowly, and pushes the next return."""
    rng = np.random.default_rng(seed)
    signal = np.zeros(n)
    for i in range(1, n):
        signal[i] = _FADE * signal[i - 1] + np.sqrt(1 - _FADE**2) * rng.normal()
    X = rng.normal(size=(n, 54)).astype(np.float32)
    X[:, 0] = signal
    returns = 0.004 * (strength * signal + rng.normal(size=n))
    return Batch(X, (returns > 0).astype(float), np.ones(n), np.arange(n), returns, 0.0015)


def net_sharpe(position: np.ndarray, batch: Batch) -> float:
    """Net Sharpe ratio, 0 for a policy that never trades."""
    assert batch.forward_return is not None
    net = net_returns(position, batch.forward_return, Costs(10, 5))
    return sharpe(net, _HOURS) if net.std() else 0.0


def attainable(batch: Batch) -> float:
    """Best of the rules that know the signal: enter beyond one level, leave below another."""
    best = 0.0
    for enter in np.arange(0.1, 1.5, 0.1):
        for leave in np.arange(0.0, enter, 0.1):
            held, taken = 0, []
            for value in batch.X[:, 0].tolist():
                if abs(value) > enter:
                    held = 1 if value > 0 else -1
                elif abs(value) < leave:
                    held = 0
                taken.append(held)
            best = max(best, net_sharpe(np.array(taken), batch))
    return best


def _one_environment(train: Batch, steps: int, seed: int) -> float:
    market = make_market(train, Standardiser.of(train.X))
    with deterministic(seed):
        env = DummyVecEnv([lambda: TradingEnv(market, episode_bars=128)])
        learner = PPO("MlpPolicy", env, seed=seed, device="cpu", verbose=0)
        learner.set_logger(Logger(folder=None, output_formats=[]))
        torch.set_num_threads(1)
        started = time.process_time()
        learner.learn(steps)
        return learner.num_timesteps / (time.process_time() - started)
