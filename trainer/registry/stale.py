"""Registered names that are to be trained again: their bars end long ago, or somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import RegisteredModel

from barwright import BarwrightError
from trainer.config import TrainConfig
from trainer.errors import TrainerError, UsageError
from trainer.job import Job, jobs_of
from trainer.registry import alias as aliases
from trainer.registry.claims import ClaimedError, TagHolder, exclusive_claim
from trainer.registry.promotion import Decision, promote
from trainer.run_file import read_run_file
from trainer.scratch import scratch_folder
from trainer.tracking.mlflow_runs import RUN_FILE
from trainer.tracking.model_uri import find_version, newest_version
from trainer.tracking.store import STORE_ERRORS, redacted
from trainer.tracking.tag_names import DATA_END, RETRAIN_REQUESTED, RUN_ID


@dataclass(frozen=True)
class StaleName:
    """A registered name whose newest version is to be replaced.

    Attributes
    ----------
    name, version, run_id : str
        Registered model, its newest version, and the run of that.
    data_end : pandas.Timestamp
        Open time of the last bar that it was trained on, UTC.
    requested : str
        Why somebody asks for it; empty if nobody does.
    """

    name: str
    version: str
    run_id: str
    data_end: pd.Timestamp
    requested: str = ""

    def why(self, now: pd.Timestamp) -> str:
        """Return why it is to be trained again, for people."""
        if self.requested:
            return f"requested: {' '.join(self.requested.split())}"
        return f"its bars end {_age_text(now - self.data_end)} ago"


class StaleNames:
    """The names of a registry that are to be trained again.

    Parameters
    ----------
    client : mlflow.MlflowClient
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def find(
        self,
        older_than: pd.Timedelta,
        now: pd.Timestamp,
        only: Sequence[str] = (),
        left_out: Sequence[str] = (),
    ) -> list[StaleName]:
        """Return the names that are stale: requested ones first, then the oldest.

        Parameters
        ----------
        older_than : pandas.Timedelta
            Age of the last bar beyond which a version is stale.
        now : pandas.Timestamp
            UTC.
        only : sequence of str
            Names that may be returned; all by default.
        left_out : sequence of str
            Names that are not returned.

        Raises
        ------
        UsageError
            If one of `only` or `left_out` is no registered model with a version.
        """
        for name in (*only, *left_out):
            try:
                find_version(self._client, name)
            except TrainerError as error:
                raise UsageError(str(error)) from error
        models = [
            model
            for model in aliases.all_models(self._client)
            if (not only or model.name in only) and model.name not in left_out
        ]
        known = [_newest(model) for model in models]
        stale = [s for s in known if s and (s.requested or now - s.data_end > older_than)]
        return sorted(stale, key=lambda one: (not one.requested, one.data_end, one.name))

    @contextmanager
    def claim(self, stale: StaleName) -> Iterator[None]:
        """Hold the exclusive right to train a name again, on however many machines.

        In the block its tag asks for it, and still does after the block unless it was fulfilled:
        so a command that is killed leaves it to the next one.

        Raises
        ------
        ClaimedError
            If another command trains the name, or has just trained it.
        """
        holder = TagHolder.model(self._client, stale.name)
        text = f"{stale.name} is being retrained"
        with exclusive_claim(holder, "retraining", text, patience=0):
            newest = newest_version(self._client, stale.name)
            if newest is None or str(newest.version) != stale.version:
                raise ClaimedError(f"{stale.name} has just got another version")
            if not stale.requested:
                holder.write(RETRAIN_REQUESTED, stale.why(pd.Timestamp.now("UTC")))
            yield

    def judge(self, name: str, version: str, alias: str, source: str) -> Decision | None:
        """Promote a version if it passes the gate; the request is fulfilled with that.

        Parameters
        ----------
        name, version : str
        alias : str
            A name without this alias gets none: that is the decision of a person.
        source : str
            Bars on which the versions are compared.

        Returns
        -------
        Decision or None
            None if there is nothing to decide.
        """
        decision = None
        if aliases.holder(self._client, name, alias) not in (None, version):
            decision = promote(self._client, name, version=version, alias=alias, source=source)
        self._client.delete_registered_model_tag(name, RETRAIN_REQUESTED)
        return decision


def _newest(model: RegisteredModel) -> StaleName | None:
    """Return the newest version of a name; None if barwright did not train it."""
    version = max(model.latest_versions, key=lambda one: int(one.version), default=None)
    if version is None or RUN_ID not in version.tags:
        return None
    created = pd.Timestamp(version.creation_timestamp, unit="ms", tz="UTC")
    # A version of an earlier barwright has no such tag; its bars end before it was made.
    end = version.tags.get(DATA_END)
    return StaleName(
        model.name,
        str(version.version),
        version.tags[RUN_ID],
        created if end is None else pd.Timestamp(end),
        model.tags.get(RETRAIN_REQUESTED, ""),
    )


def read_config(stale: StaleName, changes: dict[str, str]) -> tuple[Job, TrainConfig]:
    """Return the settings with which a version was trained, for the same job on newer bars.

    Parameters
    ----------
    stale : StaleName
    changes : dict of str to str
        Options that replace those of its run file.

    Raises
    ------
    TrainerError
        If its run has no run file, or that is of another model.
    """
    with scratch_folder() as folder:
        try:
            path = download_artifacts(
                run_id=stale.run_id, artifact_path=RUN_FILE, dst_path=str(folder)
            )
        except STORE_ERRORS as error:
            raise TrainerError(
                f"{RUN_FILE} of the run of {stale.name} version {stale.version} cannot be read "
                f"({redacted(str(error).splitlines()[0])}); check that the store hands out files, "
                "or train it once with `barwright train`"
            ) from error
        try:
            options = read_run_file(str(Path(path)))
            TrainConfig.parse(options)
        except BarwrightError as error:
            text = str(error).replace(str(path), RUN_FILE).replace("\n", "; ")
            raise TrainerError(
                f"{RUN_FILE} of the run of {stale.name} version {stale.version} cannot be used: "
                f"{text}. Train {stale.name} once with `barwright train`"
            ) from error
    config = TrainConfig.parse({**options, "unchanged": "keep", **changes})
    jobs = jobs_of(config)
    if [job.name for job in jobs] != [stale.name]:
        names = ", ".join(job.name for job in jobs)
        raise TrainerError(
            f"{RUN_FILE} of {stale.name} version {stale.version} trains {names}; train "
            f"{stale.name} once with `barwright train`"
        )
    return jobs[0], config


def _age_text(age: pd.Timedelta) -> str:
    """Return an age in its two largest units.

    >>> _age_text(pd.Timedelta("8D 5h 3min")), _age_text(pd.Timedelta("3h 20min"))
    ('8 d 5 h', '3 h 20 min')
    """
    parts = age.components
    if parts.days:
        return f"{parts.days:,} d {parts.hours} h"
    return f"{parts.hours} h {parts.minutes} min"
