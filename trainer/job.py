"""A job, one model for one symbol, with the result that a worker returns for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from features.labels import LabelSpec
from trainer.config import TrainConfig
from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Headline
from trainer.evidence.record import Record
from trainer.serving.contract import Contract
from trainer.statistics.costs import Terms


@dataclass(frozen=True)
class Job:
    """One model for one symbol."""

    symbol: str
    model: str

    @property
    def name(self) -> str:
        """Name of the registered model."""
        return f"{self.model}-{self.symbol}"

    def settings_in(self, run_name: str) -> str:
        """Return the settings that the name of a run of this job lists.

        Examples
        --------
        >>> Job("EURUSD", "gru").settings_in("gru-EURUSD position=exit horizon=3")
        'position=exit horizon=3'
        """
        return run_name.removeprefix(self.name).strip()


def jobs_of(config: TrainConfig) -> list[Job]:
    """Return the jobs of a command: by symbol, then by model."""
    return [Job(symbol, model) for symbol in config.symbols for model in config.models]


@dataclass(frozen=True)
class DataFacts:
    """The data that a job was trained on: what facts.json holds.

    Attributes
    ----------
    symbol, interval : str
    bars, rows : int
        Bars that were read, and labelled rows that remained.
    first, last : str
        Open times of the first and last bar, ISO 8601.
    dropped : dict of str to int
        Rows without a use, by reason.
    gaps : dict of str to int
        Counts of the gaps between bars (`features.dataset.DatasetMeta.gaps`).
    cache : {"read", "computed", "replaced", "off"}
        Where the features came from.
    understood : str
        How the source read the bars: file, columns, time zone.
    digest : str
        Digest of the dataset.
    label : features.labels.LabelSpec
    fits_read : int
        Fits that were read from the fit cache; 0 without a cache.
    """

    symbol: str
    interval: str
    bars: int
    rows: int
    first: str
    last: str
    dropped: dict[str, int]
    gaps: dict[str, int]
    cache: str
    understood: str
    digest: str
    label: LabelSpec = field(default_factory=LabelSpec)
    fits_read: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the content of facts.json."""
        return asdict(self)


@dataclass(frozen=True)
class TrainedModel:
    """A trained model as a worker returns it: plain values and a folder, no MLflow object.

    Attributes
    ----------
    folder : pathlib.Path
        Folder of the saved `TradingModel`.
    contract : Contract
    headline : Headline
        Metrics of the walk-forward (metrics.json).
    evidence : Evidence
        The evidence beside it (evidence.json).
    record : Record
        The walk-forward bar by bar.
    figures : dict of str to bytes
        PNG files of the report.
    curves : list of list of float
        Loss on the rows that stop a fit early, for each fold of the production procedure.
    params : dict of str to object
        Settings worth comparing between runs.
    data : DataFacts
    seconds : dict of str to float
        Wall time by phase.
    requirements : tuple of str
        Distributions that serving needs.
    settings_digest : str
        Digest of settings, code and libraries (`trainer.jobs.unchanged`); the command sets it.
    """

    folder: Path
    contract: Contract
    headline: Headline
    evidence: Evidence
    record: Record
    figures: dict[str, bytes]
    curves: list[list[float]]
    params: dict[str, object]
    data: DataFacts
    seconds: dict[str, float]
    requirements: tuple[str, ...]
    settings_digest: str = ""

    def slim(self) -> Self:
        """Return the model without figures, curves and record, which are large and stored."""
        return replace(self, figures={}, curves=[], record=Record.empty())

    @property
    def flat_because(self) -> str:
        """Why the production model does not trade; empty if it does."""
        return self.evidence.flat_because

    @property
    def terms(self) -> Terms:
        """Costs per side of the contract, and bars in a trading year."""
        return Terms(self.contract.costs, self.evidence.periods_per_year)


@dataclass(frozen=True)
class JobResult:
    """The end of a job: a trained model, or the reason for its failure.

    Attributes
    ----------
    job : Job
    started, ended : float
        Seconds since 1970.
    trained : TrainedModel or None
        None if the job failed.
    error : str
        Text for the user; empty if the job did not fail.
    details : str
        Traceback of the error, for ``--debug``.
    """

    job: Job
    started: float
    ended: float
    trained: TrainedModel | None = None
    error: str = ""
    details: str = field(default="", repr=False)
