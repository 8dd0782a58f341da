"""The headline of a model: its walk-forward in numbers, as a whole and block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trainer.evidence.json_values import number, plain
from trainer.evidence.metric_names import from_stored, to_stored


@dataclass(frozen=True)
class Block:
    """One block of a walk-forward.

    Attributes
    ----------
    block : int
        Its number, from 0.
    first, last : str
        Open times of its first and last bar, ISO 8601.
    train_rows, test_rows : int
        Rows that its procedure was fitted on, and rows that were scored.
    threshold : float or None
        Threshold of its procedure; None for "do not trade".
    metrics : dict of str to float
        Performance and probability metrics of its rows; NaN where undefined.
    """

    block: int
    first: str
    last: str
    train_rows: int
    test_rows: int
    threshold: float | None
    metrics: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return one flat object; undefined metrics are null."""
        return {
            "block": self.block,
            "train_rows": self.train_rows,
            "test_rows": self.test_rows,
            "threshold": self.threshold,
            **{name: plain(value) for name, value in self.metrics.items()},
            "first": self.first,
            "last": self.last,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        own = ("block", "first", "last", "train_rows", "test_rows", "threshold")
        metrics = {name: number(value) for name, value in data.items() if name not in own}
        return cls(
            block=data["block"],
            first=str(data["first"]),
            last=str(data["last"]),
            train_rows=data["train_rows"],
            test_rows=data["test_rows"],
            threshold=data["threshold"],
            metrics=metrics,
        )


@dataclass(frozen=True)
class Headline:
    """What metrics.json holds.

    Attributes
    ----------
    metrics : dict of str to float
        Walk-forward, all blocks together: no prefix; NaN where undefined.
    selection : dict of str to float
        Mean, deviation and minimum over the folds of the production procedure (``val_...``). These
        rows chose the threshold, so they are never a result.
    blocks : tuple of Block
    """

    metrics: dict[str, float]
    selection: dict[str, float] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()

    def stored_metrics(self) -> dict[str, float]:
        """Return all metrics by the names they are logged under."""
        return {**to_stored(self.metrics), **self.selection}

    def to_json(self) -> dict[str, Any]:
        """Return the content of metrics.json; undefined metrics are null."""
        stored = self.stored_metrics()
        return {
            "metrics": {name: plain(value) for name, value in stored.items()},
            "blocks": [block.to_json() for block in self.blocks],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        stored = {name: number(value) for name, value in data["metrics"].items()}
        return cls(
            from_stored(stored),
            {name: value for name, value in stored.items() if name.startswith("val_")},
            tuple(Block.from_json(block) for block in data["blocks"]),
        )
