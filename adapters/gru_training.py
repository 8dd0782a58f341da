"""Fit a recurrent network on chunks of rows, with early stopping on later rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from adapters.early_stopping import EarlyStopping
from adapters.recurrent import Chunks, RecurrentNetwork, plan_chunks, window_ends

#: Chunks of the validation rows in one forward pass: it limits the memory, not the result.
_VALID_BATCH = 64


@dataclass(frozen=True)
class Settings:
    """Settings of a fit: hyperparameters of `GRUAdapter`, its task and seed, and a limit.

    Attributes
    ----------
    chunk : int
        Rows of a chunk, >= `lookback`.
    max_updates : int, optional
        The fit ends after this many updates, if it has not ended before.
    """

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
    """Rows in the form that the network reads.

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
    """Losses and updates of a fit.

    Attributes
    ----------
    train_loss : list of float
        At each check: mean of the losses of the updates since the check before.
    valid_loss : list of float
        Weighted mean loss on the validation rows: before the first update, then at each check.
    updates : int
        Number of updates.
    best_update : int
        Number of the update after which the network had the weights that were kept.
    """

    train_loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    updates: int = 0
    best_update: int = 0


@dataclass(frozen=True, eq=False)
class _PlannedUpdate:
    """One update: its epoch, the chunks of its batch, and whether a check follows."""

    epoch: int
    chunks: Chunks
    check: bool


def train_network(
    network: RecurrentNetwork,
    train: Rows,
    valid: Rows | None,
    settings: Settings,
    on_progress: Callable[[str], None],
) -> History:
    """Fit a network in place.

    Parameters
    ----------
    network : RecurrentNetwork
        On the same device as the rows.
    train : Rows
    valid : Rows, optional
        Later rows. Their loss is computed `checks_per_epoch` times an epoch, and the fit does not
        learn from them. The fit ends after `patience` checks without a lower loss, and the
        network keeps the weights with the lowest loss.
    settings : Settings
    on_progress : callable
        Receives a text at every check.

    Returns
    -------
    History
        Without updates if no training row is the last of `lookback` consecutive bars.
    """
    # Loss before the first update. The network returns the base rate at this point. It is a
    # candidate, so that the fit keeps nothing where the rows contain nothing to learn.
    history = History()
    if valid is not None and not len(window_ends(valid.position, settings.lookback)):
        valid = None  # no row has enough context
    baseline = None if valid is None else _mean_loss(network, valid, settings)
    if baseline is not None:
        history.valid_loss.append(baseline)
    stopping = EarlyStopping(network, settings.patience, baseline)

    # Updates, with a check after some of them.
    optimiser = _make_optimiser(network, settings)
    losses: list[Tensor] = []
    network.train()
    for update in _plan_updates(train.position, settings):
        losses.append(_update(network, optimiser, train, update.chunks, settings))
        history.updates += 1
        last = history.updates == settings.max_updates
        if not (update.check or last):
            continue
        history.train_loss.append(float(torch.stack(losses).mean()))
        losses.clear()
        if valid is not None:
            loss = _mean_loss(network, valid, settings)
            history.valid_loss.append(loss)
            on_progress(
                f"epoch {update.epoch}/{settings.max_epochs}, loss {loss:.4f}, "
                f"best {stopping.lowest_loss:.4f}"
            )
            if stopping.update(loss):
                history.best_update = history.updates
        if last or stopping.exhausted:
            break

    # Weights that are kept.
    stopping.restore()
    network.eval()
    return history


def _make_optimiser(network: RecurrentNetwork, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        foreach=True,
    )


def _plan_updates(position: npt.NDArray[np.int64], settings: Settings) -> Iterator[_PlannedUpdate]:
    """Yield the updates of all epochs: each epoch is another cut into chunks, in random order."""
    rng = np.random.default_rng(settings.seed)
    hop = settings.chunk - settings.lookback + 1
    for epoch in range(1, settings.max_epochs + 1):
        # With another cut in each epoch, a row is trained with different lengths of context.
        shift = int(rng.integers(hop))
        chunks = plan_chunks(position, settings.lookback, settings.chunk, shift)
        order = rng.permutation(len(chunks.start))
        batches = [order[i : i + settings.batch] for i in range(0, len(order), settings.batch)]
        every = max(1, math.ceil(len(batches) / settings.checks_per_epoch))
        for number, picked in enumerate(batches, start=1):
            check = number % every == 0 or number == len(batches)
            yield _PlannedUpdate(epoch, chunks.pick(picked), check)


def _update(
    network: RecurrentNetwork,
    optimiser: torch.optim.Optimizer,
    rows: Rows,
    chunks: Chunks,
    settings: Settings,
) -> Tensor:
    """Change the weights by one step against the gradient; return the loss before the step."""
    loss, _ = _loss(network, rows, chunks, settings)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    clip_grad_norm_(network.parameters(), settings.clip_norm, foreach=True)
    optimiser.step()
    return loss.detach()


def _loss(
    network: RecurrentNetwork, rows: Rows, chunks: Chunks, settings: Settings
) -> tuple[Tensor, Tensor]:
    """Return the weighted mean loss of the counted rows of all chunks, and their total weight."""
    x, y, weight = _gather(rows, chunks, settings)
    output = network(x)[settings.lookback - 1 :]  # (counted steps, batch)
    losses = (  # (counted steps, batch)
        functional.binary_cross_entropy_with_logits(output, y, reduction="none")
        if settings.task == "classification"
        else functional.mse_loss(output, y, reduction="none")
    )
    total_weight = weight.sum()
    return (losses * weight).sum() / total_weight, total_weight


def _gather(rows: Rows, chunks: Chunks, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of the chunks, and the targets and weights of the steps that count.

    The longest chunk determines the number of steps. Shorter chunks are padded with rows of
    weight 0.

    Returns
    -------
    x : float32 Tensor of shape (steps, batch, f)
    y, weight : float32 Tensors of shape (steps - lookback + 1, batch)
    """
    context = settings.lookback - 1
    steps = context + int(chunks.counted.max())
    row = chunks.start + np.arange(steps)[:, None]  # (steps, batch)
    counts = np.arange(steps - context)[:, None] < chunks.counted  # (counted steps, batch)
    device = rows.x.device
    at = torch.from_numpy(np.minimum(row, len(rows.position) - 1)).to(device)  # (steps, batch)
    counted = at[context:]  # (counted steps, batch)
    x = rows.x[at]  # (steps, batch, features)
    return x, rows.y[counted], rows.weight[counted] * torch.from_numpy(counts).to(device)


def _mean_loss(network: RecurrentNetwork, rows: Rows, settings: Settings) -> float:
    """Return the weighted mean loss of all rows with enough context, without dropout."""
    chunks = plan_chunks(rows.position, settings.lookback, settings.chunk)
    total, total_weight = 0.0, 0.0
    network.eval()
    with torch.inference_mode():
        for begin in range(0, len(chunks.start), _VALID_BATCH):
            batch = chunks.pick(slice(begin, begin + _VALID_BATCH))
            loss, weight = _loss(network, rows, batch, settings)
            total += float(loss) * float(weight)
            total_weight += float(weight)
    network.train()
    return total / total_weight
