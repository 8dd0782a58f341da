"""Trains one policy with stable-baselines3 and keeps the one that later rows paid best."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import nn

from adapters.base import AdapterError, Batch, Value
from adapters.policy import greedy_positions
from adapters.torch_tools import Standardiser
from adapters.trading_env import Market, VectorTradingEnv


def make_market(batch: Batch, standardiser: Standardiser) -> Market:
    """Turn rows into a market.

    Raises
    ------
    AdapterError
        If the rows do not say what the next bar returned.
    """
    if batch.forward_return is None:
        raise AdapterError("ppo needs the one-bar forward return of every row; give them in Batch")
    rows = standardiser(batch.X).numpy()
    return Market(rows, batch.forward_return, batch.position, batch.cost)


def train_policy(
    policy: nn.Module,
    standardiser: Standardiser,
    train: Batch,
    valid: Batch | None,
    params: Mapping[str, Value],
    seed: int,
    device: torch.device,
    tell: Callable[[str], None],
) -> list[float]:
    """Learn in place.

    Parameters
    ----------
    policy : PolicyNetwork
        Gets the weights of the actor.
    standardiser : Standardiser
        Fitted on the training rows, frozen.
    train, valid : Batch
        `valid`, later rows, is traded greedily after every round and never learnt from; learning
        stops after `patience` rounds without a better one, and the best actor stays.
    params : mapping
        Hyperparameters of `PPOAdapter`.
    seed : int
    device : torch.device
        Where to learn.
    tell : callable
        Told of every round.

    Returns
    -------
    list of float
        Mean net return a bar on `valid`, round by round; empty without it.
    """
    market = make_market(train, standardiser)
    watched = None if valid is None else make_market(valid, standardiser)
    n_envs = int(params["n_envs"])
    n_steps = int(params["n_steps"])
    env = VectorTradingEnv(
        market,
        n_envs,
        episode_bars=int(params["episode_bars"]),
        # Near size one, whatever the market's volatility.
        reward_scale=1.0 / (float(market.forward_return.std()) or 1.0),
        seed=seed,
    )
    hidden = int(params["hidden"])
    with warnings.catch_warnings():
        # It says that the last mini-batch may be shorter, which does no harm.
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")
        learner = PPO(
            "MlpPolicy",
            env,
            n_steps=n_steps,
            batch_size=min(int(params["batch_size"]), n_envs * n_steps),
            n_epochs=int(params["n_epochs"]),
            learning_rate=float(params["learning_rate"]),
            gamma=float(params["gamma"]),
            gae_lambda=float(params["gae_lambda"]),
            ent_coef=float(params["ent_coef"]),
            clip_range=float(params["clip_range"]),
            policy_kwargs={"net_arch": {"pi": [hidden, hidden], "vf": [hidden, hidden]}},
            seed=seed,
            device=device,
            verbose=0,
        )
    # Its own would leave a folder of logs among the temporary files at every round.
    learner.set_logger(Logger(folder=None, output_formats=[]))
    rounds = math.ceil(int(params["timesteps"]) / (n_envs * n_steps))
    curve: list[float] = []
    best, best_state, misses = -math.inf, None, 0
    for number in range(rounds):
        learner.learn(n_envs * n_steps, reset_num_timesteps=number == 0)
        _copy_actor(learner, policy)
        if watched is None:
            tell(f"round {number + 1}/{rounds}")
            continue
        curve.append(_earned(policy, watched))
        tell(f"round {number + 1}/{rounds}, net {curve[-1]:+.2e} a bar")
        if curve[-1] > best:
            best, best_state, misses = curve[-1], copy.deepcopy(policy.state_dict()), 0
        else:
            misses += 1
        if misses >= int(params["patience"]):
            break
    if best_state is not None:
        policy.load_state_dict(best_state)
    return curve


def _copy_actor(learner: PPO, policy: nn.Module) -> None:
    """Take the actor's layers out of the learner, whose critic is not served."""
    actor = learner.policy
    layers = [*actor.mlp_extractor.policy_net, actor.action_net]
    policy.load_state_dict(
        {f"layers.{k}": v.cpu() for k, v in nn.Sequential(*layers).state_dict().items()}
    )


def _earned(policy: nn.Module, market: Market) -> float:
    """Mean net return a bar of one greedy pass."""
    with torch.inference_mode():
        rows = torch.from_numpy(market.features)
        best = np.stack([policy(rows, held).argmax(dim=1).numpy() - 1 for held in (-1.0, 0.0, 1.0)])
    target = greedy_positions(best, market.position)
    held = np.append(0, target[:-1]) * ~np.append(True, np.diff(market.position) != 1)
    return float(market.reward(np.arange(len(market)), target, held).mean())
