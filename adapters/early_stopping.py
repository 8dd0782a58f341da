"""Early stopping of a fit: it keeps the weights with the lowest validation loss."""

from __future__ import annotations

import copy
import math
from typing import Any

from torch import nn


class EarlyStopping:
    """Keep the weights with the lowest loss and count the checks since then.

    Parameters
    ----------
    network : torch.nn.Module
        Network that is being fitted.
    patience : int
        Number of consecutive checks without a lower loss after which the fit should end.
    baseline : float, optional
        Loss of the network before the first update. If given, these weights are also a candidate:
        they are kept if no check has a lower loss.

    Attributes
    ----------
    lowest_loss : float
        Lowest loss so far; infinity before the first check.

    Examples
    --------
    >>> stopping = EarlyStopping(nn.Linear(1, 1), patience=2)
    >>> [stopping.update(loss) for loss in (0.7, 0.6, 0.6, 0.65)]
    [True, True, False, False]
    >>> stopping.exhausted
    True
    """

    def __init__(self, network: nn.Module, patience: int, baseline: float | None = None) -> None:
        self.network, self.patience = network, patience
        self.lowest_loss = math.inf
        self._best_weights: dict[str, Any] | None = None
        self._misses = 0
        if baseline is not None:
            self._keep(baseline)

    def update(self, loss: float) -> bool:
        """Record the loss of one check; return True if it is the lowest so far."""
        improved = loss < self.lowest_loss
        if improved:
            self._keep(loss)
        else:
            self._misses += 1
        return improved

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` checks had no lower loss."""
        return self._misses >= self.patience

    def restore(self) -> None:
        """Load the best weights into the network; without any check, change nothing."""
        if self._best_weights is not None:
            self.network.load_state_dict(self._best_weights)

    def _keep(self, loss: float) -> None:
        self.lowest_loss, self._misses = loss, 0
        self._best_weights = copy.deepcopy(self.network.state_dict())
