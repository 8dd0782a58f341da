"""Runs that can be removed: the trials of the symbol are the same before, after, and after gc."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from mlflow.cli import gc

from trainer.evidence.record import Record
from trainer.statistics.costs import Costs, Terms
from trainer.tracking.old_runs import EMPTY, FAILED, REPEATED, RunReview, review_runs
from trainer.tracking.trials import find_trials

NAME = "lightgbm-SYNTH"
#: Later than every run.
ALL = 2**62


def review(store: Any, **changes: Any) -> RunReview:
    experiment = store.client.get_experiment_by_name("e").experiment_id
    settings: dict[str, Any] = {"before_ms": ALL, "names": (), "needed": set(), **changes}
    return review_runs(store.client, experiment, **settings)


def reasons(store: Any, **changes: Any) -> dict[str, str]:
    return {run.run_id: run.why for run in review(store, **changes).old}


def trial_metrics(store: Any, chosen: Record) -> dict[str, float]:
    experiment = store.client.get_experiment_by_name("e").experiment_id
    trials = find_trials(store.client, experiment, "SYNTH")
    return trials.metrics(chosen, interval="1h", terms=Terms(Costs(10, 5), 8_760))


def collect_garbage(store: Any) -> None:
    done = CliRunner().invoke(gc, ["--backend-store-uri", store.uri, "--tracking-uri", store.uri])
    assert done.exit_code == 0, done.output


@pytest.fixture
def runs(registry_store: Any) -> dict[str, str]:
    """Run ids by name: `later` repeats `first`, `killed` repeats `third`, `running` `second`.

    A trial of a search has the walk-forward of `first`, too, but is another kind of trial.
    """
    store, client = registry_store, registry_store.client
    one, two, three = (store.record(0.15, seed=seed) for seed in (1, 2, 3))
    ids = {"first": store.run(one), "second": store.run(two, trials=5), "third": store.run(three)}
    ids |= {"later": store.run(one), "other": store.run(one, symbol="OTHER")}
    ids |= {"killed": store.run(three), "running": store.run(two, trials=5)}
    ids |= {"failed": store.run(three), "trial": store.run(one), "foreign": store.run(one)}
    ids |= {"command": store.run(one), "empty": store.run(one)}
    for name, kind in (("failed", "failure"), ("trial", "trial")):
        client.set_tag(ids[name], "kind", kind)
    for name in ("command", "empty"):
        client.set_tag(ids[name], "kind", "command")
        client.delete_tag(ids[name], "symbol")
    client.delete_tag(ids["foreign"], "kind")
    client.set_tag(ids["second"], "mlflow.parentRunId", ids["command"])
    client.set_tag(ids["failed"], "mlflow.parentRunId", ids["empty"])
    client.set_terminated(ids["killed"], "KILLED")
    client.update_run(ids["running"], "RUNNING")
    return ids


def test_failures_repeats_and_empty_commands_can_be_removed(
    registry_store: Any, runs: dict[str, str]
) -> None:
    assert reasons(registry_store) == {
        runs["failed"]: FAILED, runs["first"]: REPEATED, runs["empty"]: EMPTY
    }  # fmt: skip
    assert reasons(registry_store, needed={runs["first"], runs["failed"]}) == {}
    assert reasons(registry_store, names=(NAME,)) == {
        runs["failed"]: FAILED, runs["first"]: REPEATED
    }  # fmt: skip
    assert reasons(registry_store, names=("lightgbm-OTHER",)) == {}
    assert reasons(registry_store, before_ms=0) == {}
    (failed,) = (run for run in review(registry_store).old if run.why == FAILED)
    assert (failed.name, failed.models) == (NAME, ())


def test_the_trials_are_the_same_without_these_runs_and_after_gc(
    registry_store: Any, runs: dict[str, str]
) -> None:
    store = registry_store
    chosen = store.record(0.15, seed=9)
    before = trial_metrics(store, chosen)
    assert before["trials"] == 1 + 5 + 1
    assert 0 < before["pbo"] < 1
    for run_id in reasons(store):
        store.client.delete_run(run_id)
    assert trial_metrics(store, chosen) == before
    assert review(store) == RunReview((), ())
    collect_garbage(store)
    assert trial_metrics(store, chosen) == before
    left = {run.info.run_id for run in store.client.search_runs(["1"], run_view_type=3)}
    assert left == set(runs.values()) - {runs[name] for name in ("failed", "first", "empty")}


def test_deleted_trials_that_gc_would_take_away_are_named(
    registry_store: Any, runs: dict[str, str]
) -> None:
    store = registry_store
    chosen = store.record(0.15, seed=9)
    before = trial_metrics(store, chosen)
    for name in ("third", "first", "failed"):
        store.client.delete_run(runs[name])
    # `later` repeats `first`, a failure is no trial, and `killed` may have no walk-forward.
    assert review(store).lost_trials == (runs["third"],)
    store.client.delete_run(runs["killed"])
    assert trial_metrics(store, chosen) == before
    collect_garbage(store)
    assert trial_metrics(store, chosen)["trials"] == before["trials"] - 1


def test_every_page_is_read(
    registry_store: Any, runs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = review(registry_store)
    monkeypatch.setattr("trainer.tracking.old_runs._RUNS_A_PAGE", 2)
    assert review(registry_store) == expected
