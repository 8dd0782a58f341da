"""A market to act in: one environment by the book, and many copies of it stepping at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
#: What an action means: short, flat, long.
POSITIONS = np.array([-1, 0, 1])


@dataclass(frozen=True, eq=False)
class Market:
    """Rows to trade over.

    Attributes
    ----------
    features : float32 array of shape (n, f)
        Known at the close of each row's bar; standardised already.
    forward_return : float64 array of shape (n,)
        What a position taken at the row earns, open to open.
    position : int64 array of shape (n,)
        Bar positions. Before a jump the position is closed, and closing costs.
    cost : float
        Share of the traded notional that a change of position costs, per side.
    """

    features: npt.NDArray[np.float32]
    forward_return: FloatArray
    position: IntArray
    cost: float

    def __len__(self) -> int:
        return len(self.forward_return)

    @property
    def before_jump(self) -> npt.NDArray[np.bool_]:
        """Rows whose next row is not the next bar, of shape (n,); the last row is none of them."""
        return np.append(np.diff(self.position) != 1, False)

    def reward(self, at: IntArray, target: IntArray, held: IntArray) -> FloatArray:
        """Net return of holding `target` at rows `at` after `held`: what `net_returns` gives."""
        traded = np.abs(target - held) + np.abs(target) * self.before_jump[at]
        return np.asarray(target * self.forward_return[at] - self.cost * traded)

    def observe(self, at: IntArray, held: IntArray) -> npt.NDArray[np.float32]:
        """Features of rows `at` and the position held, of shape (m, f + 1)."""
        rows = self.features[np.minimum(at, len(self) - 1)]
        return np.concatenate([rows, held[:, None].astype(np.float32)], axis=1)


def _spaces(n_features: int) -> tuple[Any, Any]:
    box = gym.spaces.Box(-np.inf, np.inf, (n_features + 1,), np.float32)
    return box, gym.spaces.Discrete(len(POSITIONS))


class TradingEnv(gym.Env[npt.NDArray[np.float32], np.int64]):
    """One pass over a market; the reference that the vectorised one is held to.

    Parameters
    ----------
    market : Market
    episode_bars : int, optional
        Bars of an episode, from a random start; by default one pass from first row to last.

    Notes
    -----
    Actions 0, 1, 2 are short, flat, long. The reward is the net return of the bar that follows.
    The end of data, or of an episode, is a truncation: nothing in the market ends there.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it so

    def __init__(self, market: Market, *, episode_bars: int | None = None) -> None:
        self.market = market
        self.episode_bars = episode_bars
        self.observation_space, self.action_space = _spaces(market.features.shape[1])
        self._at = self._left = 0
        self._held = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start flat: at ``options["start"]``, or at random, or at the first row."""
        super().reset(seed=seed)
        n = len(self.market)
        start = (options or {}).get("start")
        if start is None:
            start = 0 if self.episode_bars is None else int(self.np_random.integers(n))
        self._at, self._held = start, 0
        self._left = n if self.episode_bars is None else self.episode_bars
        return self._observe(), {}

    def step(
        self, action: np.int64 | int
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take a position for the next bar."""
        at = np.array([self._at])
        target = int(POSITIONS[int(action)])
        reward = self.market.reward(at, np.array([target]), np.array([self._held]))[0]
        leaving = bool(self.market.before_jump[self._at])
        self._held = 0 if leaving else target
        self._at += 1
        self._left -= 1
        # A jump ends a training episode; a full pass goes on behind it, flat.
        over = self._left <= 0 or self._at >= len(self.market)
        truncated = over or (leaving and self.episode_bars is not None)
        return self._observe(), float(reward), False, truncated, {"position": target}

    def _observe(self) -> npt.NDArray[np.float32]:
        observed = self.market.observe(np.array([self._at]), np.array([self._held]))
        return np.asarray(observed[0])


class VectorTradingEnv(VecEnv):
    """Many `TradingEnv` with random starts, stepped by a few NumPy operations.

    Parameters
    ----------
    market : Market
    n_envs : int
    episode_bars : int
    reward_scale : float, default 1.0
        Rewards are multiplied by it: a learner wants them near size one.
    seed : int, default 0
        Of the random starts.
    """

    def __init__(
        self,
        market: Market,
        n_envs: int,
        *,
        episode_bars: int,
        reward_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(n_envs, *_spaces(market.features.shape[1]))
        self.market, self.episode_bars, self.reward_scale = market, episode_bars, reward_scale
        self._rng = np.random.default_rng(seed)
        self._leaving = market.before_jump
        self.at = np.zeros(n_envs, dtype=np.int64)
        self.held = np.zeros(n_envs, dtype=np.int64)
        self.left = np.zeros(n_envs, dtype=np.int64)
        self._actions = np.zeros(n_envs, dtype=np.int64)

    def reset(self) -> VecEnvObs:
        """Start everywhere at random, flat."""
        self._restart(np.ones(self.num_envs, dtype=bool))
        return self.market.observe(self.at, self.held)

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all copies; those that are over start again, as SB3 expects."""
        target = POSITIONS[self._actions]
        reward = self.market.reward(self.at, target, self.held) * self.reward_scale
        leaving = self._leaving[self.at]
        self.held = np.where(leaving, 0, target)
        self.at += 1
        self.left -= 1
        over = (self.left <= 0) | (self.at >= len(self.market)) | leaving
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over.any():
            last = self.market.observe(self.at[over], self.held[over])
            for row, i in enumerate(np.flatnonzero(over)):
                infos[i] = {"terminal_observation": last[row], "TimeLimit.truncated": True}
            self._restart(over)
        observed = self.market.observe(self.at, self.held)
        return observed, reward.astype(np.float32), over, infos

    def _restart(self, which: npt.NDArray[np.bool_]) -> None:
        self.at[which] = self._rng.integers(len(self.market), size=int(which.sum()))
        self.held[which] = 0
        self.left[which] = self.episode_bars

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return the same attribute for each copy."""
        return [getattr(self, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: copies have no attributes of their own."""
        raise NotImplementedError("copies of a VectorTradingEnv have no attributes of their own")

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Refuse: copies have no methods of their own."""
        raise NotImplementedError("copies of a VectorTradingEnv have no methods of their own")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Tell that no copy is wrapped."""
        return [False for _ in self._get_indices(indices)]


def full_pass(market: Market, actions: Sequence[int] | IntArray) -> FloatArray:
    """Rewards of one pass over a market with these actions, of shape (n,)."""
    env = TradingEnv(market)
    env.reset()
    return np.array([env.step(int(action))[1] for action in actions])
