"""A registered version, found and loaded, with all that is judged of it; and its report."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from trainer.errors import TrainerError
from trainer.evidence.dossier import page, walk_forward_figures
from trainer.evidence.record import Record
from trainer.evidence.verdict import Verdict, judge
from trainer.flavor import load_evidence
from trainer.registry import alias as aliases
from trainer.report.markdown import report_page
from trainer.serving.manifest import MANIFEST_TAG
from trainer.serving.trading_model import TradingModel
from trainer.statistics.costs import Terms
from trainer.tracking.store import versions
from trainer.tracking.trials import find_campaign, load_record


@dataclass(frozen=True, eq=False)
class Version:
    """A registered version, loaded, with all that is judged of it."""

    name: str
    number: str
    model: TradingModel
    told: dict[str, Any]
    evidence: dict[str, Any]
    record: Record
    experiment_id: str
    source: str

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of its walk-forward, without their prefix."""
        return walk_forward_figures(self.told["metrics"])


def report(client: MlflowClient, model_uri: str) -> tuple[str, str]:
    """Write the report of a registered version, with trials counted as of now.

    Parameters
    ----------
    client : mlflow.MlflowClient
    model_uri : str
        ``models:/gru-BTCUSDT@latest``, ``models:/gru-BTCUSDT/3``.

    Returns
    -------
    name, text : str
        Name of a file for it, and its HTML.

    Raises
    ------
    TrainerError
        If there is no such version, or it holds no evidence.
    """
    path = model_uri.removeprefix("models:/")
    name, at, alias = path.partition("@")
    number = ""
    if at and alias.lower() != "latest":
        find(client, name, "")
        number = aliases.holder(client, name, alias) or ""
        if not number:
            raise TrainerError(f"{name} has no alias @{alias}; give a version, or @latest")
    elif not at:
        name, _, number = path.partition("/")
    version = load(client, find(client, name, "" if number == "latest" else number))
    campaign = campaign_figures(client, version)
    criteria = judge({**version.metrics, **campaign})
    verdict = Verdict.of(str(version.evidence["flat_because"]), criteria)
    shown = page(version.model.contract, version.told, version.evidence, verdict.status)
    # Nothing else that loads a version draws, and importing matplotlib takes a while.
    from trainer.report.figures import figures

    drawn = figures(shown, version.record.to_frame())
    about = {"version": f"{name} version {version.number}"}
    return f"{name}-{version.number}.html", report_page(shown, drawn, verdict, campaign, about)


def find(client: MlflowClient, name: str, version: str) -> ModelVersion:
    """Find a version of a registered model, the newest if none is given.

    Raises
    ------
    TrainerError
        If there is none; what there is, is named.
    """
    try:
        there = versions(client, name)
    except MlflowException:
        there = []
    if not there:
        with contextlib.suppress(MlflowException):
            client.get_registered_model(name)
            raise TrainerError(f"{name} has no version; `barwright train` registers one")
        known = sorted(model.name for model in client.search_registered_models(max_results=100))
        listed = f"there are {', '.join(known[:10])}" if known else "there is none yet"
        raise TrainerError(f"there is no registered model {name!r}; {listed}")
    if not version:
        return there[-1]
    for found in there:
        if str(found.version) == version:
            return found
    numbers = ", ".join(str(found.version) for found in there[-10:])
    raise TrainerError(f"{name} has no version {version!r}; it has {numbers}")


def load(client: MlflowClient, found: ModelVersion) -> Version:
    """Load a version and check that its walk-forward is the one it was registered with.

    Raises
    ------
    TrainerError
        If it does not load, or its evidence is not there or not its own.
    """
    name, number = found.name, str(found.version)
    uri = f"models:/{name}/{number}"
    model, told, evidence = load_evidence(uri, manifest_sha256=found.tags.get(MANIFEST_TAG))
    run_id = found.tags.get("run_id") or found.run_id
    if not evidence or not run_id:
        raise TrainerError(
            f"version {number} of {name} holds no evidence: it was trained by an earlier version "
            "of barwright; train it again"
        )
    record = load_record(run_id)
    if record is None or record.digest != evidence["record_digest"]:
        missing = "is gone" if record is None else "is not the one it was registered with"
        raise TrainerError(
            f"the walk-forward of version {number} of {name} (run {run_id}) {missing}; restore "
            "the run's artifacts, or train it again"
        )
    run = client.get_run(run_id)
    return Version(
        name, number, model, told, evidence, record, run.info.experiment_id,
        run.data.params.get("source", ""),
    )  # fmt: skip


def campaign_figures(client: MlflowClient, version: Version) -> dict[str, float]:
    """Hold a version against all trials of its symbol, counted as of now."""
    contract = version.model.contract
    campaign = find_campaign(client, version.experiment_id, contract.symbol)
    campaign.records[version.record.digest] = version.record
    return campaign.figures(
        version.record,
        interval=contract.interval,
        terms=Terms(contract.costs, version.evidence["periods_per_year"]),
    )
