"""Early stopping: patience, baseline, and the weights that are kept."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from adapters.early_stopping import EarlyStopping


def network(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1)
    set_weight(layer, value)
    return layer


def set_weight(layer: nn.Linear, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)


def test_the_weights_with_the_lowest_loss_are_restored() -> None:
    layer = network(0.0)
    stopping = EarlyStopping(layer, patience=10)
    for value, loss in ((1.0, 0.7), (2.0, 0.5), (3.0, 0.6), (4.0, 0.5)):
        set_weight(layer, value)
        stopping.update(loss)
    stopping.restore()
    assert layer.weight.item() == 2.0  # an equal loss later is no improvement
    assert stopping.lowest_loss == 0.5


def test_the_baseline_is_restored_if_no_loss_is_lower() -> None:
    for baseline, expected in ((0.4, 0.0), (0.6, 1.0)):
        layer = network(0.0)
        stopping = EarlyStopping(layer, patience=10, baseline=baseline)
        set_weight(layer, 1.0)
        assert stopping.update(0.5) == (expected == 1.0)
        stopping.restore()
        assert layer.weight.item() == expected


def test_without_a_check_the_weights_stay() -> None:
    layer = network(0.0)
    stopping = EarlyStopping(layer, patience=1)
    set_weight(layer, 1.0)
    stopping.restore()
    assert layer.weight.item() == 1.0


def test_patience_counts_consecutive_checks_without_a_lower_loss() -> None:
    stopping = EarlyStopping(network(0.0), patience=2)
    exhausted = []
    for loss in (0.7, 0.8, 0.6, 0.6, 0.9):
        stopping.update(loss)
        exhausted.append(stopping.exhausted)
    assert exhausted == [False, False, False, False, True]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_no_improvement(loss: float) -> None:
    stopping = EarlyStopping(network(0.0), patience=1)
    assert not stopping.update(loss)
    assert stopping.exhausted
