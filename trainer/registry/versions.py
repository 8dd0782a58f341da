"""A registered version, loaded with its evidence, and the report on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from barwright import BarwrightError
from trainer.errors import TrainerError
from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Headline
from trainer.evidence.record import Record
from trainer.evidence.verdict import Verdict, judge
from trainer.flavor import downloaded
from trainer.job import Job
from trainer.report.page import Page
from trainer.serving.manifest import DAMAGED, EVIDENCE, MANIFEST_TAG, read_json
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Terms
from trainer.tracking.mlflow_runs import load_understood
from trainer.tracking.model_uri import locate
from trainer.tracking.search_runs import find_search_trials
from trainer.tracking.store import find_run
from trainer.tracking.tag_names import RUN_ID
from trainer.tracking.trials import find_trials, load_record


@dataclass(frozen=True, eq=False)
class LoadedVersion:
    """A registered version, loaded with its evidence.

    Attributes
    ----------
    name, number : str
        Registered model and version.
    model : TradingModel
    headline : Headline
    evidence : Evidence
    record : Record
        Its walk-forward.
    run_id, experiment_id : str
        Run that logged the model, and the experiment of that run.
    source : str
        Source of the bars that it was trained on; empty if the run did not log it.
    against : str
        Baseline that it must beat, by the option `--against` of its training.
    search : str
        Study that chose its settings; empty if none did.
    run_name : str
        Name of its run, which lists the settings that differ from the defaults.
    """

    name: str
    number: str
    model: TradingModel
    headline: Headline
    evidence: Evidence
    record: Record
    run_id: str
    experiment_id: str
    source: str
    against: str
    search: str
    run_name: str

    @property
    def job(self) -> Job:
        """The job that trained it."""
        return Job(self.model.contract.symbol, self.model.contract.model)

    @property
    def terms(self) -> Terms:
        """Costs per side of its contract, and bars in its trading year."""
        return Terms(self.model.contract.costs, self.evidence.periods_per_year)


def load(client: MlflowClient, version: ModelVersion) -> LoadedVersion:
    """Load a version, and check that its walk-forward is the one it was registered with.

    Raises
    ------
    TrainerError
        If it cannot be loaded, or its evidence is missing, damaged or not its own.
    """
    name, number = version.name, str(version.version)
    digest = version.tags.get(MANIFEST_TAG)
    with downloaded(f"models:/{name}/{number}", manifest_sha256=digest) as folder:
        model = TradingModel.load(folder)
        metrics = read_json(folder / "metrics.json")
        # Models of format 1 have no such file.
        stored = read_json(folder / EVIDENCE) if (folder / EVIDENCE).is_file() else {}
    run_id = version.tags.get(RUN_ID) or version.run_id
    if not stored or not run_id:
        raise TrainerError(
            f"version {number} of {name} holds no evidence: it was trained by an earlier version "
            "of barwright; train it again"
        )
    with _refuse_damage(name, number):
        headline, evidence = Headline.from_json(metrics), Evidence.from_json(stored)
        pd.Timestamp(evidence.last)  # `promote` needs it
        if not evidence.periods_per_year > 0:
            raise ValueError(f"periods_per_year must be > 0, got {evidence.periods_per_year}")
    run = find_run(client, run_id)
    record = None if run is None else load_record(str(run.info.artifact_uri))
    if run is None or record is None or record.digest != evidence.record_digest:
        problem = "is gone" if record is None else "is not the one it was registered with"
        raise TrainerError(
            f"the walk-forward of version {number} of {name} (run {run_id}) {problem}; restore "
            "the run's artifacts, or train it again"
        )
    return LoadedVersion(
        name=name,
        number=number,
        model=model,
        headline=headline,
        evidence=evidence,
        record=record,
        run_id=run_id,
        experiment_id=run.info.experiment_id,
        source=run.data.params.get("source", ""),
        against=run.data.params.get("against", "none"),
        search=run.data.params.get("search", ""),
        run_name=str(run.info.run_name),
    )


@contextmanager
def _refuse_damage(name: str, number: str) -> Iterator[None]:
    """Raise `TrainerError` for an error that follows from damaged evidence."""
    try:
        yield
    except BarwrightError:  # before its base class, ValueError
        raise
    except DAMAGED as error:
        raise TrainerError(
            f"the evidence of version {number} of {name} is damaged: "
            f"{type(error).__name__}: {error}; train it again"
        ) from error


def trial_metrics(client: MlflowClient, version: LoadedVersion) -> dict[str, float]:
    """Return the metrics of a version that depend on all trials of its symbol, as of now.

    Returns
    -------
    dict of str to float
        ``dsr``, ``pbo`` and ``trials``.
    """
    contract = version.model.contract
    trials = find_trials(client, version.experiment_id, contract.symbol)
    trials.records[version.record.digest] = version.record
    return trials.metrics(
        version.record, interval=contract.interval, terms=version.terms, search=version.search
    )


def report(client: MlflowClient, model_uri: str) -> tuple[str, str]:
    """Write the report of a registered version; trials are counted as of now.

    Parameters
    ----------
    client : mlflow.MlflowClient
    model_uri : str
        ``models:/gru-BTCUSDT@latest``, ``models:/gru-BTCUSDT/3``.

    Returns
    -------
    name, text : str
        Name of a file for the report, and its HTML.

    Raises
    ------
    TrainerError
        If there is no such version, or its evidence is missing or damaged.
    """
    version = load(client, locate(client, model_uri))
    with _refuse_damage(version.name, version.number):
        text = _report_text(client, version)
    return f"{version.name}-{version.number}.html", text


def _report_text(client: MlflowClient, version: LoadedVersion) -> str:
    metrics = trial_metrics(client, version)
    criteria = judge({**version.headline.metrics, **metrics}, version.against)
    verdict = Verdict.of(version.evidence.flat_because, criteria)
    searched = find_search_trials(client, version.experiment_id, version.search, version.job)
    page = Page(
        contract=version.model.contract,
        headline=version.headline,
        evidence=version.evidence,
        status=verdict.status,
        understood=load_understood(version.run_id),
        search=tuple(searched),
        settings=version.job.settings_in(version.run_name),
    )
    # Imported here: no other function of this module draws, and matplotlib takes long to import.
    from trainer.report.figures import draw_figures
    from trainer.report.html import candidate_report

    pngs = draw_figures(page, version.record.to_frame())
    about = {"version": f"{version.name} version {version.number}"}
    return candidate_report(page, pngs, verdict, metrics, about)
