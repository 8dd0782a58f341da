"""Trials of a search on a real store; tests/trainer/jobs/test_search.py writes and reads them."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job
from trainer.search.trial import Trial
from trainer.tracking.mlflow_runs import open_tracking
from trainer.tracking.search_runs import find_search_trials, log_trial
from trainer.tracking.trials import find_trials

JOB = Job("SYNTH", "lightgbm")
CONFIG = TrainConfig.parse({"symbols": "SYNTH", "models": "lightgbm", "source": "sample"})


def trial(number: int, state: Any = "complete", **more: Any) -> Trial:
    return Trial(number, {"horizon": 3, "lightgbm.rate": 0.1}, state, **more)


def test_trials_are_read_as_they_were_written_and_count_as_trials(registry_store: Any) -> None:
    store = registry_store
    record = store.record(0.2)
    written = [
        trial(4, net_sharpe=(0.1, 0.2 + 0.1), n_trades=31, tries=3, record=record),
        trial(1, "pruned", net_sharpe=(-1.0,)),
        trial(2, "failed", error="`embargo` is too long"),
    ]
    with open_tracking("e", {}) as tracking:
        for one in written:
            log_trial(tracking, "abc", JOB, CONFIG, one)
        log_trial(tracking, "other", JOB, CONFIG, trial(9, net_sharpe=(0.0,)))
        experiment = tracking.experiment_id
    again = find_search_trials(store.client, experiment, "abc", JOB)
    assert [one.to_json() for one in again] == [written[1].to_json(), written[0].to_json()]
    assert find_search_trials(store.client, experiment, "none", JOB) == []
    for other in (Job("SYNTH", "gru"), Job("OTHER", "lightgbm")):
        assert find_search_trials(store.client, experiment, "abc", other) == []

    trials = find_trials(store.client, experiment, "SYNTH")
    assert trials.n_trials == 3 + 1 + 1  # the failed one could not be chosen
    assert {t.search for t in trials.trials} == {"abc", "other"}
    runs = store.client.search_runs([experiment], "tags.search = 'abc'")
    by_state = {run.data.params["state"]: run for run in runs}
    assert by_state["failed"].data.tags["kind"] == "failure"
    assert by_state["failed"].data.tags["mlflow.note.content"] == "`embargo` is too long"
    assert by_state["failed"].info.status == "FAILED"
    complete = by_state["complete"]
    assert complete.info.run_name == "lightgbm-SYNTH trial 5"
    assert complete.data.params["record_digest"] == record.digest
    history = store.client.get_metric_history(complete.info.run_id, "search/net_sharpe")
    assert [(point.step, point.value) for point in history] == [(0, 0.1), (1, 0.2 + 0.1)]


def test_a_run_that_is_not_at_its_end_or_damaged_is_no_trial(registry_store: Any) -> None:
    store = registry_store
    with open_tracking("e", {}) as tracking:
        log_trial(tracking, "abc", JOB, CONFIG, trial(0, net_sharpe=(0.5,)))
        experiment = tracking.experiment_id
    tags = {"kind": "trial", "symbol": "SYNTH", "model": "lightgbm", "search": "abc"}
    cut = store.client.create_run(experiment, tags={**tags, "search_trial": trial(1).to_json()})
    assert [t.number for t in find_search_trials(store.client, experiment, "abc", JOB)] == [0]
    store.client.set_terminated(cut.info.run_id, "KILLED")
    assert [t.number for t in find_search_trials(store.client, experiment, "abc", JOB)] == [0]
    damaged = store.client.create_run(experiment, tags={**tags, "search_trial": "{"})
    store.client.set_terminated(damaged.info.run_id)
    text = f"the run {damaged.info.run_id} of the search abc holds no trial: its text is damaged"
    with pytest.raises(TrainerError, match=text):
        find_search_trials(store.client, experiment, "abc", JOB)
