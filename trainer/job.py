"""What a task is, and what it hands back: plain values, a record and a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.evidence.record import Record
from trainer.serving.contract import Contract


@dataclass(frozen=True)
class Task:
    """One model for one symbol."""

    symbol: str
    model: str

    @property
    def name(self) -> str:
        """Name of its registered model."""
        return f"{self.model}-{self.symbol}"


@dataclass(frozen=True)
class TrainedModel:
    """What a worker hands back: plain values and a folder, nothing that MLflow must unpickle.

    Attributes
    ----------
    folder : pathlib.Path
        The saved `TradingModel`.
    metrics : dict of str to float
        ``wf_...`` headline and ``val_..._mean/_std/_min``.
    fold_metrics : list of dict
        Per fold of the production procedure.
    curves : list of list of float
        Loss on the rows that stop a fit early, per fold of the production procedure.
    told : dict
        Its metrics.json: ``metrics`` and ``blocks`` of the walk-forward, no NaN in it.
    evidence : dict
        What `trainer.evidence.dossier.gather` found, no NaN in it.
    record : Record
        The walk-forward bar by bar.
    contract : Contract
        What it trades, and by which rules.
    figures : dict of str to bytes
        PNG files of its report.
    params : dict
        Settings worth comparing between runs.
    data : dict
        Digest, rows, dropped rows, gaps: what the run was trained on.
    seconds : dict of str to float
        Wall time by phase.
    requirements : tuple of str
        Distributions that serving needs.
    flat_because : str
        Why the production model does not trade; empty if it does.
    """

    folder: Path
    metrics: dict[str, float]
    fold_metrics: list[dict[str, float]]
    curves: list[list[float]]
    told: dict[str, Any]
    evidence: dict[str, Any]
    record: Record
    contract: Contract
    figures: dict[str, bytes]
    params: dict[str, Any]
    data: dict[str, Any]
    seconds: dict[str, float]
    requirements: tuple[str, ...]
    flat_because: str


@dataclass(frozen=True)
class Outcome:
    """How a task ended: with a model, or with the reason why not."""

    task: Task
    started: float
    ended: float
    trained: TrainedModel | None = None
    error: str = ""
    details: str = field(default="", repr=False)
