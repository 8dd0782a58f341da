"""A recurrent network over consecutive bars: chunks for training, windows for scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

IntArray = npt.NDArray[np.int64]

#: Number of windows that are scored together: their states fit into the second-level cache.
_BLOCK = 512


class RecurrentNetwork(nn.Module):
    """One GRU layer and a linear head.

    The weights of the head start at zero: before the first update, every output is the bias of the
    head.

    Parameters
    ----------
    n_features : int
    hidden : int
        Size of the state.
    dropout : float
        Probability with which a unit of the state is dropped before the head during training.
    """

    def __init__(self, n_features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(n_features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs of shape (steps, batch) for inputs of shape (steps, batch, f)."""
        states, _ = self.gru(x)  # (steps, batch, hidden)
        return self.head(self.dropout(states)).squeeze(-1)  # type: ignore[no-any-return]

    def score_windows(self, x: Tensor, ends: Tensor, lookback: int) -> Tensor:
        """Return the output after the last row of each window, from a zero state.

        Parameters
        ----------
        x : Tensor of shape (n, f)
        ends : int64 Tensor of shape (m,)
            Last row of each window, at least ``lookback - 1``.
        lookback : int
            Rows of a window.

        Returns
        -------
        Tensor of shape (m,)

        Notes
        -----
        The contribution of a row to the gates is computed once, and not once for each window that
        contains the row. The equations are those of `torch.nn.GRU`.
        """
        if len(ends) == 1:
            last = int(ends[0])
            state = self._last_state(x[last - lookback + 1 : last + 1])
            return self.head(state)  # type: ignore[no-any-return]
        input_weight, state_weight, input_bias, state_bias = map(
            torch.detach, self.gru.all_weights[0]
        )
        from_input = torch.addmm(input_bias, x, input_weight.T)  # (n, 3 * hidden)
        state_weight = state_weight.T.contiguous()  # (hidden, 3 * hidden)
        output = torch.empty(len(ends))  # (m,)
        for begin in range(0, len(ends), _BLOCK):
            block = ends[begin : begin + _BLOCK]  # (windows,)
            state = torch.zeros(len(block), self.gru.hidden_size)  # (windows, hidden)
            for rows in _rows_of_steps(block, lookback):
                gates = from_input[rows]  # (windows, 3 * hidden)
                state = _next_state(gates, state, state_weight, state_bias)
            output[begin : begin + len(block)] = self.head(state).squeeze(-1)
        return output

    def _last_state(self, x: Tensor) -> Tensor:
        """Return the state after the rows of one window, of shape (hidden,).

        A live decision needs a single window. Its arrays are so small that torch spends most of the
        time on the overhead of its calls. NumPy has less of it if it writes into given arrays.
        """
        input_weight, state_weight, input_bias, state_bias = (
            weight.detach().numpy() for weight in self.gru.all_weights[0]
        )
        hidden = self.gru.hidden_size
        gates, candidate = slice(0, 2 * hidden), slice(2 * hidden, None)
        # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, and a factor of 1/2 does not round.
        half = np.full(2 * hidden, 0.5, dtype=np.float32)
        from_input = x.numpy() @ input_weight.T + input_bias  # (rows, 3 * hidden)
        gate_input = (from_input[:, gates] + state_bias[gates]) * half
        # Two products: with the default size, each is too small for threads to share it.
        gate_weight, candidate_weight = state_weight[gates] * half[0], state_weight[candidate]
        candidate_bias = state_bias[candidate]
        state = np.zeros(hidden, dtype=np.float32)
        share, new = np.empty_like(half), np.empty_like(state)
        reset, update = share[:hidden], share[hidden:]
        for to_gates, to_candidate in zip(gate_input, from_input[:, candidate], strict=True):
            np.dot(gate_weight, state, out=share)
            np.add(share, to_gates, out=share)
            np.tanh(share, out=share)
            np.multiply(share, half, out=share)
            np.add(share, half, out=share)
            np.dot(candidate_weight, state, out=new)
            np.add(new, candidate_bias, out=new)
            np.multiply(new, reset, out=new)
            np.add(new, to_candidate, out=new)
            np.tanh(new, out=new)
            np.subtract(state, new, out=state)
            np.multiply(state, update, out=state)
            np.add(state, new, out=state)
        return torch.from_numpy(state)


def _rows_of_steps(ends: Tensor, lookback: int) -> Iterator[Tensor | slice]:
    """Yield for each step the rows of all windows.

    The ends of most blocks are neighbours. A slice of the rows is then enough, whereas an index
    would copy every row `lookback` times.
    """
    first, last = int(ends[0]), int(ends[-1])
    neighbours = last - first + 1 == len(ends)
    for offset in range(1 - lookback, 1):
        yield slice(first + offset, last + offset + 1) if neighbours else ends + offset


def _next_state(gates: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the state after one more row.

    Parameters
    ----------
    gates : Tensor of shape (windows, 3 * hidden)
        Contribution of the row to the reset gate, the update gate and the candidate.
    state : Tensor of shape (windows, hidden)
    weight : Tensor of shape (hidden, 3 * hidden)
    bias : Tensor of shape (3 * hidden,)

    Returns
    -------
    Tensor of shape (windows, hidden)
    """
    hidden = state.shape[1]
    from_state = torch.addmm(bias, state, weight)  # (windows, 3 * hidden)
    reset_update = torch.sigmoid(gates[:, : 2 * hidden] + from_state[:, : 2 * hidden])
    reset, update = reset_update[:, :hidden], reset_update[:, hidden:]  # (windows, hidden) each
    candidate = torch.tanh(
        torch.addcmul(gates[:, 2 * hidden :], reset, from_state[:, 2 * hidden :])
    )  # (windows, hidden)
    return torch.lerp(candidate, state, update)


@dataclass(frozen=True)
class Chunks:
    """Runs of consecutive rows: the first `lookback - 1` rows of each are context only.

    Attributes
    ----------
    start : int64 array of shape (c,)
        First row of each chunk.
    counted : int64 array of shape (c,)
        Number of rows whose outputs count, from row ``start + lookback - 1`` on.
    """

    start: IntArray
    counted: IntArray

    def pick(self, which: IntArray | slice) -> Chunks:
        """Return some of the chunks, in the given order."""
        return Chunks(self.start[which], self.counted[which])


def segments(position: IntArray) -> list[tuple[int, int]]:
    """Return the half-open ranges of rows that contain no jump.

    Examples
    --------
    >>> segments(np.array([3, 4, 5, 9, 11, 12]))
    [(0, 3), (3, 4), (4, 6)]
    """
    breaks = np.flatnonzero(np.diff(position) != 1) + 1
    bounds = [0, *breaks.tolist(), len(position)]
    return [(begin, end) for begin, end in pairwise(bounds) if end > begin]


def window_ends(position: IntArray, lookback: int) -> IntArray:
    """Return the rows that are the last of `lookback` consecutive bars.

    Parameters
    ----------
    position : int64 array of shape (n,)
        Bar positions, strictly increasing.
    lookback : int

    Returns
    -------
    int64 array of shape (m,)

    Examples
    --------
    Ten rows with a hole after the sixth: the first two rows of each segment lack context.

    >>> position = np.array([0, 1, 2, 3, 4, 5, 20, 21, 22, 23])
    >>> window_ends(position, lookback=3)
    array([2, 3, 4, 5, 8, 9])
    """
    ends = [
        np.arange(begin + lookback - 1, end)
        for begin, end in segments(position)
        if end - begin >= lookback
    ]
    return np.concatenate(ends) if ends else np.empty(0, dtype=np.int64)


def plan_chunks(position: IntArray, lookback: int, length: int, shift: int = 0) -> Chunks:
    """Cut rows into chunks so that every row with enough context counts exactly once.

    Parameters
    ----------
    position : int64 array of shape (n,)
        Bar positions; no chunk crosses a jump.
    lookback : int
        Least number of rows of context of a counted row, including the row itself.
    length : int
        Largest number of rows of a chunk, >= lookback.
    shift : int, default 0
        Number of rows by which the first chunk of a segment is shorter. Another shift in each
        epoch gives another cut.

    Returns
    -------
    Chunks

    Examples
    --------
    Ten rows with a hole after the sixth. The chunks are rows 0 to 3, 2 to 5, and 6 to 9; rows 2
    and 3, 4 and 5, and 8 and 9 count.

    >>> position = np.array([0, 1, 2, 3, 4, 5, 20, 21, 22, 23])
    >>> plan_chunks(position, lookback=3, length=4)
    Chunks(start=array([0, 2, 6]), counted=array([2, 2, 2]))

    With a shift of 1, the first chunk of each segment is one row shorter.

    >>> plan_chunks(position, lookback=3, length=4, shift=1)
    Chunks(start=array([0, 1, 3, 6, 7]), counted=array([1, 2, 1, 1, 1]))
    """
    hop = length - lookback + 1
    start, counted = [], []
    for begin, end in segments(position):
        first, count = begin + lookback - 1, hop - shift % hop
        while first < end:
            start.append(first - lookback + 1)
            counted.append(min(count, end - first))
            first, count = first + count, hop
    return Chunks(np.array(start, dtype=np.int64), np.array(counted, dtype=np.int64))
