"""Fits a recurrent network on chunks and keeps the weights that later rows liked best."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from adapters.recurrent import Chunks, RecurrentNetwork, plan_chunks

#: Chunks whose loss is watched at once: bounds memory, not the result.
_WATCHED = 64


@dataclass(frozen=True)
class Settings:
    """How a network is fitted: the hyperparameters of the same names; `max_updates` ends it too."""

    task: Literal["classification", "regression"]
    lookback: int
    chunk: int
    batch: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    max_epochs: int
    checks_per_epoch: int
    patience: int
    seed: int
    max_updates: int | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows as the network takes them.

    Attributes
    ----------
    x : float32 Tensor of shape (n, f)
        Standardised features.
    y, weight : float32 Tensors of shape (n,)
    position : int64 array of shape (n,)
        Bar positions.
    """

    x: Tensor
    y: Tensor
    weight: Tensor
    position: npt.NDArray[np.int64]


@dataclass
class History:
    """What fitting was like, check by check.

    Attributes
    ----------
    train_loss, valid_loss : list of float
        Weighted mean loss since the last check, and on the watched rows.
    updates : int
        Updates made; `best_update` is the one whose weights were kept.
    """

    train_loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    updates: int = 0
    best_update: int = 0


def train_network(
    network: RecurrentNetwork,
    train: Rows,
    valid: Rows | None,
    settings: Settings,
    progress: Callable[[str], None],
) -> History:
    """Fit in place.

    Parameters
    ----------
    network : RecurrentNetwork
        On the device of the rows.
    train : Rows
    valid : Rows, optional
        Later rows that are watched `checks_per_epoch` times an epoch and never learnt from;
        fitting stops after `patience` checks without a lower loss, and the best weights stay.
    settings : Settings
    progress : callable
        Told of every check.

    Returns
    -------
    History
        Of no updates if no row has `lookback` consecutive rows up to it.
    """
    rng = np.random.default_rng(settings.seed)
    history = History()
    watched = None
    if valid is not None:
        chunks = plan_chunks(valid.position, settings.lookback, settings.chunk)
        watched = (valid, chunks) if len(chunks.start) else None
    best, best_state, misses = math.inf, None, 0
    if watched is not None:
        # The base rate competes: where nothing can be learnt, nothing should be kept.
        best, best_state = _watch(network, *watched, settings), copy.deepcopy(network.state_dict())
        history.valid_loss.append(best)
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        foreach=True,
    )
    hop = settings.chunk - settings.lookback + 1
    for epoch in range(settings.max_epochs):
        # Another cut each epoch: a row does not always have the same length of context.
        chunks = plan_chunks(
            train.position, settings.lookback, settings.chunk, int(rng.integers(hop))
        )
        order = rng.permutation(len(chunks.start))
        batches = [order[i : i + settings.batch] for i in range(0, len(order), settings.batch)]
        every = max(1, math.ceil(len(batches) / settings.checks_per_epoch))
        losses: list[Tensor] = []
        network.train()
        for number, picked in enumerate(batches, start=1):
            loss = _loss(network, train, chunks, picked, settings)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(network.parameters(), settings.clip_norm, foreach=True)
            optimiser.step()
            history.updates += 1
            losses.append(loss.detach())
            spent = history.updates == settings.max_updates
            if number % every and number < len(batches) and not spent:
                continue
            history.train_loss.append(float(torch.stack(losses).mean()))
            losses.clear()
            if watched is not None:
                now = _watch(network, *watched, settings)
                network.train()
                history.valid_loss.append(now)
                progress(
                    f"epoch {epoch + 1}/{settings.max_epochs}, loss {now:.4f}, best {best:.4f}"
                )
                if now < best:
                    best, best_state, misses = now, copy.deepcopy(network.state_dict()), 0
                    history.best_update = history.updates
                else:
                    misses += 1
            if misses >= settings.patience or spent:
                break
        if misses >= settings.patience or history.updates == settings.max_updates:
            break
    if best_state is not None:
        network.load_state_dict(best_state)
    network.eval()
    return history


def _gather(
    rows: Rows, chunks: Chunks, picked: npt.NDArray[np.int64], settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs of shape (steps, b, f), and targets and weights of the steps that count."""
    counted = chunks.counted[picked]
    steps = settings.lookback - 1 + int(counted.max())
    index = chunks.start[picked] + np.arange(steps)[:, None]
    there = np.arange(steps - settings.lookback + 1)[:, None] < counted
    # Shorter chunks are padded with rows that weigh nothing.
    at = torch.from_numpy(np.minimum(index, len(rows.position) - 1)).to(rows.x.device)
    tail = at[settings.lookback - 1 :]
    weight = rows.weight[tail] * torch.from_numpy(there).to(rows.x.device)
    return rows.x[at], rows.y[tail], weight


def _loss(
    network: RecurrentNetwork,
    rows: Rows,
    chunks: Chunks,
    picked: npt.NDArray[np.int64],
    settings: Settings,
) -> Tensor:
    x, y, weight = _gather(rows, chunks, picked, settings)
    output = network(x)[settings.lookback - 1 :]
    each = (
        functional.binary_cross_entropy_with_logits(output, y, reduction="none")
        if settings.task == "classification"
        else functional.mse_loss(output, y, reduction="none")
    )
    return (each * weight).sum() / weight.sum()


def _watch(network: RecurrentNetwork, rows: Rows, chunks: Chunks, settings: Settings) -> float:
    """Weighted mean loss over all counted rows."""
    network.eval()
    total, mass = 0.0, 0.0
    with torch.inference_mode():
        for begin in range(0, len(chunks.start), _WATCHED):
            picked = np.arange(begin, min(begin + _WATCHED, len(chunks.start)))
            weight = float(_gather(rows, chunks, picked, settings)[2].sum())
            total += float(_loss(network, rows, chunks, picked, settings)) * weight
            mass += weight
    return total / mass
