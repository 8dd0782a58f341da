"""The environments of PPO: rewards are net returns, and the copies step like one environment."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium
from stable_baselines3.common.env_checker import check_env as check_sb3

from adapters.policy import POSITIONS
from adapters.trading_env import Market, TradingEnv, VectorTradingEnv
from trainer.statistics.costs import Costs
from trainer.statistics.performance import net_returns

COST = 0.0015


def market(n: int = 300, jumps: tuple[int, ...] = (), seed: int = 0) -> Market:
    """Return synthetic rows with normal features and returns."""
    rng = np.random.default_rng(seed)
    position = np.arange(n) + sum(np.where(np.arange(n) >= j, 10, 0) for j in jumps)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    return Market(X, rng.normal(0, 0.01, n), np.asarray(position), COST)


def rewards(env: TradingEnv, actions: np.ndarray) -> np.ndarray:
    env.reset()
    return np.array([env.step(int(action))[1] for action in actions])


def test_the_rewards_of_a_full_pass_equal_net_returns() -> None:
    traded = market()
    actions = np.random.default_rng(1).integers(3, size=len(traded))
    expected = net_returns(POSITIONS[actions], traded.forward_return, Costs(10, 5))
    np.testing.assert_allclose(rewards(TradingEnv(traded), actions), expected, rtol=0, atol=1e-15)


def test_the_position_is_closed_before_a_jump_at_the_same_cost_as_on_the_bar_axis() -> None:
    """Bars without a row have no position: the changes before and after them both cost."""
    traded = market(jumps=(40, 41, 200))
    actions = np.random.default_rng(1).integers(3, size=len(traded))
    held, earned = np.zeros(traded.position[-1] + 1), np.zeros(traded.position[-1] + 1)
    held[traded.position] = POSITIONS[actions]
    earned[traded.position] = traded.forward_return
    expected = net_returns(held, earned, Costs(10, 5)).sum()
    assert rewards(TradingEnv(traded), actions).sum() == pytest.approx(expected, abs=1e-14)


def test_the_environment_checkers_accept_the_environment() -> None:
    with warnings.catch_warnings():
        # Both checkers warn about unbounded boxes, which standardised features need.
        warnings.filterwarnings("ignore", message=r".*(infinity|unbounded|\[-1, 1\]|spec).*")
        check_gymnasium(TradingEnv(market(), episode_bars=20), skip_render_check=True)
        check_sb3(TradingEnv(market(), episode_bars=20))


def test_the_observation_is_this_row_and_the_position_held() -> None:
    traded = market()
    env = TradingEnv(traded)
    observed, _ = env.reset()
    for row, action in enumerate([2, 2, 0, 1, 2]):
        np.testing.assert_array_equal(observed[:-1], traded.features[row])
        assert observed[-1] == ([0, 1, 1, -1, 0][row])
        observed = env.step(action)[0]


def test_an_observation_does_not_depend_on_later_rows() -> None:
    one, other = market(), market()
    other.features[101:] = 99.0
    envs = [TradingEnv(m) for m in (one, other)]
    observed = [env.reset()[0] for env in envs]
    for _ in range(100):
        np.testing.assert_array_equal(*observed)
        observed = [env.step(2)[0] for env in envs]


def test_the_end_is_a_truncation() -> None:
    env = TradingEnv(market(5))
    env.reset()
    ended = [env.step(1)[2:4] for _ in range(5)]
    assert ended == [(False, False)] * 4 + [(False, True)]
    short = TradingEnv(market(50), episode_bars=3)
    short.reset(options={"start": 10})
    assert [short.step(1)[3] for _ in range(3)] == [False, False, True]


def test_episodes_start_at_random_rows_and_a_full_pass_at_the_first_row() -> None:
    drawn = TradingEnv(market(), episode_bars=10)
    starts = {drawn.reset(seed=seed)[0].tobytes() for seed in range(20)}
    assert len(starts) > 10
    whole = TradingEnv(market())
    assert len({whole.reset(seed=seed)[0].tobytes() for seed in range(5)}) == 1


@pytest.mark.parametrize("jumps", [(), (30, 31, 77)])
def test_each_copy_steps_like_one_environment(jumps: tuple[int, ...]) -> None:
    traded = market(120, jumps)
    many = VectorTradingEnv(traded, 16, episode_bars=25, seed=3)
    observations = many.reset()
    singles = [TradingEnv(traded, episode_bars=25) for _ in range(16)]
    for single, start, row in zip(singles, many.at, observations, strict=True):
        np.testing.assert_array_equal(single.reset(options={"start": int(start)})[0], row)
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(200):
        actions = rng.integers(3, size=16)
        observations, reward, over, infos = many.step(actions)
        for i, single in enumerate(singles):
            observed, expected, terminated, truncated, _ = single.step(int(actions[i]))
            assert reward[i] == np.float32(expected)
            assert not terminated
            assert over[i] == truncated
            if truncated:
                ended += 1
                np.testing.assert_array_equal(infos[i]["terminal_observation"], observed)
                assert infos[i]["TimeLimit.truncated"]
                observed, _ = single.reset(options={"start": int(many.at[i])})
            np.testing.assert_array_equal(observations[i], observed)
    assert ended > 100


def test_the_reward_scale_multiplies_the_rewards() -> None:
    plain, scaled = (
        VectorTradingEnv(market(), 8, episode_bars=50, reward_scale=scale, seed=1)
        for scale in (1.0, 100.0)
    )
    for env in (plain, scaled):
        env.reset()
    actions = np.full(8, 2)
    np.testing.assert_allclose(scaled.step(actions)[1], 100 * plain.step(actions)[1], rtol=1e-5)
