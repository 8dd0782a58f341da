"""Fits of a recurrent network: windows, updates, checks. All rows are synthetic."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from adapters.base import Batch
from adapters.gru_training import Rows, Settings, train_network
from adapters.recurrent import RecurrentNetwork
from adapters.torch_tools import Standardiser

SETTINGS = Settings("classification", 4, 16, 8, 0.01, 0.0, 1.0, 3, 2, 3, 1)


def rows(n: int, seed: int = 0, start: int = 0) -> Batch:
    """Return rows with the sign of the first feature, plus noise, as the class."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    y = (X[:, 0] + 0.3 * rng.normal(size=n) > 0).astype(float)
    return Batch(X, y, np.ones(n), np.arange(start, start + n))


def network_rows(standardiser: Standardiser, X: np.ndarray, batch: Batch) -> Rows:
    y, weight = torch.from_numpy(batch.y).float(), torch.from_numpy(batch.weight).float()
    return Rows(standardiser(X), y, weight, batch.position)


def test_a_training_window_never_crosses_a_jump() -> None:
    """The three rows after the jump are too few for a window: their values change nothing."""
    batch = rows(400)
    position = batch.position + np.where(np.arange(400) >= 397, 50, 0)
    base = dataclasses.replace(batch, position=position)
    changed = base.X.copy()
    changed[397:] *= -7.0
    # One standardiser for both fits: its statistics come from all training rows.
    standardiser = Standardiser.of(base.X)
    fitted = []
    for X in (base.X, changed):
        network = RecurrentNetwork(3, 8, 0.0)
        torch.manual_seed(0)
        network.load_state_dict(
            {k: torch.full_like(v, 0.1) for k, v in network.state_dict().items()}
        )
        train_network(network, network_rows(standardiser, X, base), None, SETTINGS, lambda _: None)
        fitted.append(torch.cat([v.flatten() for v in network.state_dict().values()]))
    assert torch.equal(*fitted)


@pytest.mark.parametrize("with_valid", [True, False])
def test_a_fit_ends_after_the_given_number_of_updates(with_valid: bool) -> None:
    train, valid = rows(600), rows(120, 1, start=700)
    standardiser = Standardiser.of(train.X)
    history = train_network(
        RecurrentNetwork(3, 8, 0.0),
        network_rows(standardiser, train.X, train),
        network_rows(standardiser, valid.X, valid) if with_valid else None,
        dataclasses.replace(SETTINGS, max_updates=3),
        lambda text: None,
    )
    assert history.updates == 3


@pytest.mark.parametrize("checks", [1, 2, 3, 4])
def test_checks_divide_an_epoch_evenly_and_one_follows_its_last_batch(checks: int) -> None:
    """Chunks of one window: 56 of them are 7 batches an epoch."""
    train, valid = rows(59), rows(50, 1, start=100)
    standardiser = Standardiser.of(train.X)
    fitted, checked = (network_rows(standardiser, b.X, b) for b in (train, valid))
    settings = dataclasses.replace(SETTINGS, chunk=4, checks_per_epoch=checks, patience=100)
    texts: list[str] = []
    history = train_network(RecurrentNetwork(3, 8, 0.0), fitted, checked, settings, texts.append)
    assert history.updates == 3 * 7
    assert len(history.train_loss) == len(texts) == 3 * checks
    assert len(history.valid_loss) == 1 + 3 * checks
    assert [text.split(",")[0] for text in texts[::checks]] == [f"epoch {k}/3" for k in (1, 2, 3)]


def test_the_loss_counts_each_row_by_its_weight_and_padded_rows_not_at_all() -> None:
    """A network that returns its bias has the weighted mean loss of the base rate."""
    batch = rows(57)  # the last chunk is shorter than the others
    weight = np.random.default_rng(2).uniform(0.5, 1.5, 57)
    weight[:3] = 50.0  # without context: these rows do not count
    batch = dataclasses.replace(batch, weight=weight)
    standardiser = Standardiser.of(batch.X)
    given = network_rows(standardiser, batch.X, batch)
    network = RecurrentNetwork(3, 8, 0.0)
    torch.nn.init.constant_(network.head.bias, 0.4)
    settings = dataclasses.replace(SETTINGS, max_epochs=1)
    history = train_network(network, given, given, settings, lambda _: None)
    rate = 1 / (1 + np.exp(-0.4))
    losses = -np.where(batch.y == 1, np.log(rate), np.log(1 - rate))
    expected = np.average(losses[3:], weights=weight[3:])
    assert history.valid_loss[0] == pytest.approx(expected, abs=1e-6)


def test_rows_without_a_window_give_no_update() -> None:
    batch = rows(40)
    scattered = dataclasses.replace(batch, position=batch.position * 2)
    standardiser = Standardiser.of(batch.X)
    given = network_rows(standardiser, batch.X, scattered)
    history = train_network(RecurrentNetwork(3, 8, 0.0), given, given, SETTINGS, lambda _: None)
    assert history.updates == 0
    assert history.train_loss == history.valid_loss == []
