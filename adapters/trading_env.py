"""A market as a reinforcement learning environment: one copy, or many that step together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from adapters.policy import POSITIONS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Market:
    """Rows that a policy trades.

    Attributes
    ----------
    features : float32 array of shape (n, f)
        Standardised features, known at the close of each row's bar.
    forward_return : float64 array of shape (n,)
        Return of a long position that is taken at the row, from open to open.
    position : int64 array of shape (n,)
        Bar positions. The position held is closed before a jump, at the usual cost.
    cost : float
        Cost per side of a change of position, as a share of the traded notional.

    Examples
    --------
    Three rows: hold long for two bars, then reverse to short. The reversal trades two units.

    >>> market = Market(np.zeros((3, 1)), np.array([0.01, 0.02, 0.03]), np.arange(3), cost=0.001)
    >>> market.reward(np.arange(3), np.array([1, 1, -1]), np.array([0, 1, 1])).round(6)
    array([ 0.009,  0.02 , -0.032])
    """

    features: npt.NDArray[np.float32]
    forward_return: FloatArray
    position: IntArray
    cost: float

    def __len__(self) -> int:
        return len(self.forward_return)

    @property
    def before_jump(self) -> npt.NDArray[np.bool_]:
        """Whether a jump follows the row, of shape (n,); False for the last row."""
        return np.append(np.diff(self.position) != 1, False)

    def reward(self, at: IntArray, target: IntArray, held: IntArray) -> FloatArray:
        """Return the net return of each row `at` for the position `target` after `held`.

        The result equals `net_returns` of the project's metrics. All arrays have shape (m,).
        """
        traded = np.abs(target - held) + np.abs(target) * self.before_jump[at]
        return np.asarray(target * self.forward_return[at] - self.cost * traded)

    def observe(self, at: IntArray, held: IntArray) -> npt.NDArray[np.float32]:
        """Return the features of rows `at`, then the position held, of shape (m, f + 1)."""
        rows = self.features[np.minimum(at, len(self) - 1)]  # (m, f)
        return np.concatenate([rows, held[:, None].astype(np.float32)], axis=1)


def _spaces(n_features: int) -> tuple[Any, Any]:
    box = gym.spaces.Box(-np.inf, np.inf, (n_features + 1,), np.float32)
    return box, gym.spaces.Discrete(len(POSITIONS))


class TradingEnv(gym.Env[npt.NDArray[np.float32], np.int64]):
    """One market environment; the tests compare `VectorTradingEnv` with it.

    Parameters
    ----------
    market : Market
    episode_bars : int, optional
        Bars of an episode, from a random start. By default an episode is one pass from the first
        row to the last.

    Notes
    -----
    Actions 0, 1, 2 are short, flat, long. The reward is the net return of the bar that follows.
    The end of the rows or of an episode is a truncation and not a terminal state.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it without ClassVar

    def __init__(self, market: Market, *, episode_bars: int | None = None) -> None:
        self.market = market
        self.episode_bars = episode_bars
        self.observation_space, self.action_space = _spaces(market.features.shape[1])
        self._at = self._left = 0
        self._held = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start an episode without a position.

        It starts at row ``options["start"]`` if given. Otherwise it starts at a random row if
        `episode_bars` is set, and at the first row if not.
        """
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
        """Take a position at the current row and move to the next row."""
        at = np.array([self._at])
        target = int(POSITIONS[int(action)])
        reward = self.market.reward(at, np.array([target]), np.array([self._held]))[0]
        leaving = bool(self.market.before_jump[self._at])
        self._held = 0 if leaving else target
        self._at += 1
        self._left -= 1
        # A jump ends an episode of `episode_bars`; a full pass continues after it without position.
        over = self._left <= 0 or self._at >= len(self.market)
        truncated = over or (leaving and self.episode_bars is not None)
        return self._observe(), float(reward), False, truncated, {"position": target}

    def _observe(self) -> npt.NDArray[np.float32]:
        observed = self.market.observe(np.array([self._at]), np.array([self._held]))
        return np.asarray(observed[0])


class VectorTradingEnv(VecEnv):
    """Many copies of `TradingEnv` with random starts; a few NumPy operations step all of them.

    Parameters
    ----------
    market : Market
    n_envs : int
        Number of copies.
    episode_bars : int
        Bars of an episode.
    reward_scale : float, default 1.0
        Factor of the rewards. A learner is most stable with rewards of a size near one.
    seed : int, default 0
        Seed of the random starts.

    Attributes
    ----------
    at, held, left : int64 arrays of shape (n_envs,)
        Row, position held, and remaining bars of the episode of each copy.
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
        self._before_jump = market.before_jump
        self.at = np.zeros(n_envs, dtype=np.int64)
        self.held = np.zeros(n_envs, dtype=np.int64)
        self.left = np.zeros(n_envs, dtype=np.int64)
        self._actions = np.zeros(n_envs, dtype=np.int64)

    def reset(self) -> VecEnvObs:
        """Start all copies at random rows without a position."""
        self._restart(np.ones(self.num_envs, dtype=bool))
        return self.market.observe(self.at, self.held)

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Store the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all copies; copies whose episode ends start again, as stable-baselines3 requires."""
        target = POSITIONS[self._actions]  # (n_envs,)
        reward = self.market.reward(self.at, target, self.held) * self.reward_scale  # (n_envs,)
        leaving = self._before_jump[self.at]  # (n_envs,)
        self.held = np.where(leaving, 0, target)
        self.at += 1
        self.left -= 1
        over = (self.left <= 0) | (self.at >= len(self.market)) | leaving  # (n_envs,)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over.any():
            last = self.market.observe(self.at[over], self.held[over])  # (ended, f + 1)
            for row, i in enumerate(np.flatnonzero(over)):
                infos[i] = {"terminal_observation": last[row], "TimeLimit.truncated": True}
            self._restart(over)
        observed = self.market.observe(self.at, self.held)  # (n_envs, f + 1)
        return observed, reward.astype(np.float32), over, infos

    def _restart(self, which: npt.NDArray[np.bool_]) -> None:
        self.at[which] = self._rng.integers(len(self.market), size=int(which.sum()))
        self.held[which] = 0
        self.left[which] = self.episode_bars

    def close(self) -> None:
        """Do nothing: the environment holds no resources."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return the attribute once for each copy."""
        return [getattr(self, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Raise NotImplementedError: copies have no attributes of their own."""
        raise NotImplementedError("copies of a VectorTradingEnv have no attributes of their own")

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Raise NotImplementedError: copies have no methods of their own."""
        raise NotImplementedError("copies of a VectorTradingEnv have no methods of their own")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return False for each copy."""
        return [False for _ in self._get_indices(indices)]
