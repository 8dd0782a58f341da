"""The policy network of a served PPO model, without its learner."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

#: Positions that an action selects: action 0 is short, 1 is flat, 2 is long.
POSITIONS = np.array([-1, 0, 1])


class PolicyNetwork(nn.Module):
    """Network from the features of a row and the position held to one logit for each action.

    Parameters
    ----------
    n_features : int
    hidden : int
        Size of each of the two hidden layers.
    """

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features + 1, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, len(POSITIONS)),
        )

    def forward(self, x: Tensor, held: float) -> Tensor:
        """Return the probabilities of short, flat and long.

        Parameters
        ----------
        x : float32 Tensor of shape (n, f)
            Standardised features.
        held : float
            Position held at every row: -1, 0 or 1.

        Returns
        -------
        float64 Tensor of shape (n, 3)
        """
        column = torch.full((len(x), 1), held)  # (n, 1)
        logits = self.layers(torch.cat([x, column], dim=1))  # (n, 3)
        return torch.softmax(logits.double(), dim=1)


def starts_flat(position: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return whether no position is held at a row: at the first row and after each jump.

    Examples
    --------
    >>> starts_flat(np.array([0, 1, 7, 8]))
    array([ True, False,  True, False])
    """
    return np.append(True, np.diff(position) != 1)


def greedy_positions(
    best: npt.NDArray[np.int64], position: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the positions of one pass in which each row takes its best position.

    Parameters
    ----------
    best : int64 array of shape (3, n)
        Best position of each row if the position held is short, flat, long.
    position : int64 array of shape (n,)
        Bar positions. After a jump the position held is flat.

    Returns
    -------
    int64 array of shape (n,)

    Examples
    --------
    A policy that goes long at the first row and then keeps the position held. The jump before the
    third row closes the position.

    >>> best = np.array([[1, -1, -1], [1, 0, 0], [1, 1, 1]])
    >>> greedy_positions(best, np.array([0, 1, 7]))
    array([1, 1, 0])
    """
    taken, held = [], 0
    for choices, flat in zip(best.T.tolist(), starts_flat(position).tolist(), strict=True):
        held = choices[1 if flat else held + 1]
        taken.append(held)
    return np.array(taken, dtype=np.int64)
