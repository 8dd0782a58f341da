"""Fit one policy with stable-baselines3, with early stopping on later rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import nn

from adapters.base import AdapterError, Batch
from adapters.early_stopping import EarlyStopping
from adapters.policy import POSITIONS, PolicyNetwork, greedy_positions, starts_flat
from adapters.torch_tools import Standardiser
from adapters.trading_env import Market, VectorTradingEnv

#: Share of the steps that a fit takes at least, however few its rows.
_LEAST_SHARE = 0.25


@dataclass(frozen=True)
class Settings:
    """Settings of a fit: hyperparameters of `PPOAdapter` and a seed."""

    timesteps: int
    passes: int
    n_envs: int
    n_steps: int
    batch_size: int
    n_epochs: int
    episode_bars: int
    hidden: int
    learning_rate: float
    gamma: float
    gae_lambda: float
    ent_coef: float
    clip_range: float
    patience: int
    seed: int

    @property
    def round_steps(self) -> int:
        """Number of steps of all environments in one round."""
        return self.n_envs * self.n_steps

    def for_rows(self, n_rows: int) -> Settings:
        """Return the settings for a number of training rows: few rows need fewer steps.

        A fit takes `timesteps`, but no more than `passes` times the rows, and no less than a
        quarter. Rounds and mini-batches shrink with the steps, so the number of updates stays.
        """
        share = min(1.0, max(self.passes * n_rows / self.timesteps, _LEAST_SHARE))
        n_steps = max(2, round(self.n_steps * share))
        share = min(1.0, n_steps / self.n_steps)
        return replace(
            self,
            timesteps=round(self.timesteps * share),
            n_steps=n_steps,
            batch_size=max(2, round(self.batch_size * share)),
        )


def make_market(batch: Batch, standardiser: Standardiser) -> Market:
    """Build a market from rows.

    Raises
    ------
    AdapterError
        If the batch has no forward returns.
    """
    if batch.forward_return is None:
        raise AdapterError(
            "ppo needs the one-bar forward return of every row; set `forward_return` in Batch"
        )
    features = standardiser(batch.X).numpy()
    return Market(features, batch.forward_return, batch.position, batch.cost)


def train_policy(
    policy: PolicyNetwork,
    train: Market,
    valid: Market | None,
    settings: Settings,
    device: torch.device,
    on_progress: Callable[[str], None],
) -> list[float]:
    """Fit a policy in place.

    Parameters
    ----------
    policy : PolicyNetwork
        Receives the weights of the learner's actor.
    train : Market
    valid : Market, optional
        Later rows. After every round the policy makes one greedy pass over them, and the fit does
        not learn from them. The fit ends after `patience` rounds without a higher net return, and
        the policy keeps the weights with the highest net return.
    settings : Settings
    device : torch.device
        Device of the fit.
    on_progress : callable
        Receives a text after every round.

    Returns
    -------
    list of float
        Mean net return per bar on `valid` after each round; empty without `valid`.
    """
    settings = settings.for_rows(len(train))
    learner = _make_learner(train, settings, device)
    n_rounds = math.ceil(settings.timesteps / settings.round_steps)
    stopping = EarlyStopping(policy, settings.patience)
    curve: list[float] = []
    for number in range(1, n_rounds + 1):
        learner.learn(settings.round_steps, reset_num_timesteps=number == 1)
        _copy_actor(learner, policy)
        if valid is None:
            on_progress(f"round {number}/{n_rounds}")
            continue
        net_return = _mean_net_return(policy, valid)
        curve.append(net_return)
        on_progress(f"round {number}/{n_rounds}, net {net_return:+.2e} a bar")
        stopping.update(-net_return)
        if stopping.exhausted:
            break
    stopping.restore()
    return curve


def _make_learner(market: Market, settings: Settings, device: torch.device) -> PPO:
    env = VectorTradingEnv(
        market,
        settings.n_envs,
        episode_bars=settings.episode_bars,
        # The size of the rewards is then near one, whatever the volatility of the market.
        reward_scale=1.0 / (float(market.forward_return.std()) or 1.0),
        seed=settings.seed,
    )
    layers = [settings.hidden, settings.hidden]
    with warnings.catch_warnings():
        # The warning is about a shorter last mini-batch, which does no harm.
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")
        learner = PPO(
            "MlpPolicy",
            env,
            n_steps=settings.n_steps,
            batch_size=min(settings.batch_size, settings.round_steps),
            n_epochs=settings.n_epochs,
            learning_rate=settings.learning_rate,
            gamma=settings.gamma,
            gae_lambda=settings.gae_lambda,
            ent_coef=settings.ent_coef,
            clip_range=settings.clip_range,
            policy_kwargs={"net_arch": {"pi": layers, "vf": layers}},
            seed=settings.seed,
            device=device,
            verbose=0,
        )
    # The default logger would leave a folder among the temporary files after every round.
    learner.set_logger(Logger(folder=None, output_formats=[]))
    return learner


def _copy_actor(learner: PPO, policy: PolicyNetwork) -> None:
    """Copy the layers of the actor; the critic is not served."""
    actor = learner.policy
    layers = nn.Sequential(*actor.mlp_extractor.policy_net, actor.action_net)
    policy.load_state_dict({f"layers.{k}": v.cpu() for k, v in layers.state_dict().items()})


def _mean_net_return(policy: PolicyNetwork, market: Market) -> float:
    """Return the mean net return per bar of one greedy pass."""
    with torch.inference_mode():
        rows = torch.from_numpy(market.features)  # (n, features)
        best = np.stack(  # (3, n)
            [POSITIONS[policy(rows, float(held)).argmax(dim=1).numpy()] for held in POSITIONS]
        )
    target = greedy_positions(best, market.position)  # (n,)
    held = np.append(0, target[:-1]) * ~starts_flat(market.position)  # (n,)
    return float(market.reward(np.arange(len(market)), target, held).mean())
