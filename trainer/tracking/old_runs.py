"""Old runs that can be removed: without them, the trials of every symbol stay the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from trainer.tracking.store import each_page
from trainer.tracking.tag_names import (
    CANDIDATE,
    COMMAND,
    FAILURE,
    KIND,
    MODEL,
    PARENT_RUN,
    SYMBOL,
    TRIAL,
)

#: Runs that one page holds: with its metrics, a run takes 200 kB of memory while it is read.
_RUNS_A_PAGE = 200
#: Reasons to remove a run.
FAILED, REPEATED, EMPTY = "failed", "repeated", "command without runs"


@dataclass(frozen=True)
class OldRun:
    """A run that can be removed.

    Attributes
    ----------
    run_id : str
    name : str
        ``{model}-{symbol}``; empty for the run of a command.
    why : str
        `FAILED`: it has no model. `REPEATED`: a later candidate of the symbol has the same
        walk-forward, bit for bit, so both are one trial. `EMPTY`: no run of the command is left.
    models : tuple of str
        Ids of its logged models.
    """

    run_id: str
    name: str
    why: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class RunReview:
    """What `review_runs` found.

    Attributes
    ----------
    old : tuple of OldRun
    lost_trials : tuple of str
        Deleted runs that count as trials and have a walk-forward of their own. MLflow's garbage
        collection would take them out of the number of trials.
    """

    old: tuple[OldRun, ...]
    lost_trials: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """A run without its metrics."""

    run_id: str
    kind: str
    name: str
    finished: bool
    trial: tuple[str, str]  # symbol and digest of the walk-forward, as `find_trials` counts them
    parent: str
    ended_ms: int
    models: tuple[str, ...]


def review_runs(
    client: MlflowClient,
    experiment_id: str,
    *,
    before_ms: int,
    names: Collection[str],
    needed: Collection[str],
) -> RunReview:
    """Find the runs that can be removed.

    A run that counts as a trial stays, also if its version is removed: the deflated Sharpe ratio of
    every later version needs it, and PBO needs its walk-forward.

    Parameters
    ----------
    client : mlflow.MlflowClient
    experiment_id : str
    before_ms : int
        Only runs that ended before this time, in milliseconds since 1970.
    names : collection of str
        Only runs of these registered models; all if empty.
    needed : collection of str
        Runs that versions need.
    """
    rows = list(_rows(client, experiment_id, ViewType.ACTIVE_ONLY))
    candidates: set[tuple[str, str]] = set()
    old: dict[str, OldRun] = {}
    for row in rows:  # newest first: `find_trials` counts the first run of equal ones
        why = FAILED if row.kind == FAILURE else ""
        if row.kind == CANDIDATE and row.trial in candidates:
            why = REPEATED
        # A run that was killed may have no walk-forward.
        if row.kind == CANDIDATE and row.finished and row.trial[1]:
            candidates.add(row.trial)
        wanted = not names or row.name in names
        if why and wanted and row.ended_ms < before_ms and row.run_id not in needed:
            old[row.run_id] = OldRun(row.run_id, row.name, why, row.models)
    parents = {row.parent for row in rows if row.run_id not in old}
    for row in rows:
        empty = row.kind == COMMAND and row.run_id not in parents
        if empty and not names and row.ended_ms < before_ms:
            old[row.run_id] = OldRun(row.run_id, "", EMPTY, row.models)
    counted = candidates | {row.trial for row in rows if row.kind == TRIAL and row.finished}
    lost = (
        row.run_id
        for row in _rows(client, experiment_id, ViewType.DELETED_ONLY)
        if row.kind in (CANDIDATE, TRIAL) and (not row.trial[1] or row.trial not in counted)
    )
    return RunReview(tuple(old.values()), tuple(lost))


def _rows(client: MlflowClient, experiment_id: str, view: int) -> Iterator[_Row]:
    """Yield the runs of an experiment, newest first."""
    pages = each_page(
        lambda token: client.search_runs(
            [experiment_id], "", view, max_results=_RUNS_A_PAGE, page_token=token
        )
    )
    return (_row(run) for page in pages for run in page)


def _row(run: Run) -> _Row:
    tags, info = run.data.tags, run.info
    model, symbol = tags.get(MODEL, ""), tags.get(SYMBOL, "")
    running = info.status in ("RUNNING", "SCHEDULED")
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    return _Row(
        run_id=info.run_id,
        kind=tags.get(KIND, ""),
        name=f"{model}-{symbol}" if model and symbol else "",
        finished=info.status == "FINISHED",
        trial=(symbol, run.data.params.get("record_digest", "")),
        parent=tags.get(PARENT_RUN, ""),
        # A run that has not ended is never old.
        ended_ms=2**63 if running else int(info.end_time or info.start_time),
        models=tuple(output.model_id for output in outputs),
    )
