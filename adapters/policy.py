"""The actor alone, without its learner: what a served PPO model is made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

#: Short, flat, long.
_ACTIONS = 3


class PolicyNetwork(nn.Module):
    """The actor alone, without its learner: features and position held to three logits."""

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features + 1, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, _ACTIONS),
        )

    def forward(self, x: Tensor, held: float) -> Tensor:
        """Probabilities of short, flat, long, of shape (n, 3), for rows of shape (n, f)."""
        column = torch.full((len(x), 1), held)
        return torch.softmax(self.layers(torch.cat([x, column], dim=1)).double(), dim=1)


def greedy_positions(
    best: npt.NDArray[np.int64], position: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Follow the best position after each position held.

    Parameters
    ----------
    best : int64 array of shape (3, n)
        Position to take at each row after having been short, flat, long.
    position : int64 array of shape (n,)
        Bar positions; behind a jump the position held is flat.

    Returns
    -------
    int64 array of shape (n,)
    """
    fresh = np.append(True, np.diff(position) != 1)
    taken, held = [], 0
    for choices, jumped in zip(best.T.tolist(), fresh.tolist(), strict=True):
        held = choices[1 if jumped else held + 1]
        taken.append(held)
    return np.array(taken, dtype=np.int64)
