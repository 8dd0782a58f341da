"""A gated recurrent network over bars: trained on long chunks, scored on windows of one length."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

IntArray = npt.NDArray[np.int64]

#: Windows scored at once: their states stay in the second-level cache.
_BLOCK = 512


class RecurrentNetwork(nn.Module):
    """One GRU layer and a linear head that starts at zero: at first every score is the bias."""

    def __init__(self, n_features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(n_features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs of shape (steps, batch) for inputs of shape (steps, batch, f)."""
        states, _ = self.gru(x)
        return self.head(self.dropout(states)).squeeze(-1)  # type: ignore[no-any-return]

    def score_windows(self, x: Tensor, ends: Tensor, lookback: int) -> Tensor:
        """Output after the `lookback` rows that end at each row of `ends`, from a zero state.

        Parameters
        ----------
        x : Tensor of shape (n, f)
        ends : int64 Tensor of shape (m,)
            Last rows of the windows, each at least ``lookback - 1``.
        lookback : int
            Rows of a window.

        Returns
        -------
        Tensor of shape (m,)

        Notes
        -----
        What a bar adds to the gates is computed once, not once for each window that it is in.
        """
        hidden = self.gru.hidden_size
        from_input, from_state, input_bias, state_bias = map(torch.detach, self.gru.all_weights[0])
        given = torch.addmm(input_bias, x, from_input.T)
        from_state = from_state.T.contiguous()
        out = torch.empty(len(ends))
        for begin in range(0, len(ends), _BLOCK):
            block = ends[begin : begin + _BLOCK]
            state = torch.zeros(len(block), hidden)
            # Mostly neighbours, which are a slice; a gather would copy every row `lookback` times.
            run = int(block[-1] - block[0]) + 1 == len(block)
            first = int(block[0]) - lookback + 1
            for step in range(lookback):
                if run:
                    gates = given[first + step : first + step + len(block)]
                else:
                    gates = given[block - (lookback - 1 - step)]
                inner = torch.addmm(state_bias, state, from_state)
                reset_update = torch.sigmoid(gates[:, : 2 * hidden] + inner[:, : 2 * hidden])
                candidate = torch.tanh(
                    torch.addcmul(
                        gates[:, 2 * hidden :], reset_update[:, :hidden], inner[:, 2 * hidden :]
                    )
                )
                state = torch.lerp(candidate, state, reset_update[:, hidden:])
            out[begin : begin + len(block)] = self.head(state).squeeze(-1)
        return out


@dataclass(frozen=True)
class Chunks:
    """Stretches of neighbouring rows: the first `lookback - 1` are context, the others count.

    Attributes
    ----------
    start : int64 array of shape (c,)
        First row of each chunk.
    counted : int64 array of shape (c,)
        Rows that count, from row ``start + lookback - 1`` on.
    """

    start: IntArray
    counted: IntArray


def segments(position: IntArray) -> list[tuple[int, int]]:
    """Half-open row ranges within which positions follow each other without a jump."""
    breaks = np.flatnonzero(np.diff(position) != 1) + 1
    bounds = [0, *breaks.tolist(), len(position)]
    return [(a, b) for a, b in pairwise(bounds) if b > a]


def window_ends(position: IntArray, lookback: int) -> IntArray:
    """Rows with `lookback` consecutive bars up to them: no window crosses a jump."""
    whole = [np.arange(a + lookback - 1, b) for a, b in segments(position) if b - a >= lookback]
    return np.concatenate(whole) if whole else np.empty(0, dtype=np.int64)


def plan_chunks(position: IntArray, lookback: int, length: int, shift: int = 0) -> Chunks:
    """Cut rows into chunks in which every row with enough context counts exactly once.

    Parameters
    ----------
    position : int64 array of shape (n,)
        Bar positions; no chunk crosses a jump.
    lookback : int
        Rows of context that a counted row has at least, itself included.
    length : int
        Rows of a chunk at most, >= lookback.
    shift : int, default 0
        Rows by which the first chunk of a segment is shorter: another cut for each epoch.
    """
    hop = length - lookback + 1
    start, counted = [], []
    for begin, end in segments(position):
        first, take = begin + lookback - 1, hop - shift % hop
        while first < end:
            start.append(first - lookback + 1)
            counted.append(min(take, end - first))
            first, take = first + take, hop
    return Chunks(np.array(start, dtype=np.int64), np.array(counted, dtype=np.int64))
