"""A search on a real store: its trials are runs, it goes on when stopped, it trains the best.

Trials and jobs run in this process; tests/service/test_search.py runs the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.selection_noise import synthetic_walk
from tests.trainer.jobs.inline_pool import InlinePool
from trainer.config import TrainConfig
from trainer.jobs.run_trial import run_trial
from trainer.jobs.search import SearchSummary, Study, search
from trainer.jobs.worker_pool import Task
from trainer.search.trial import Trial
from trainer.tracking.search_runs import find_search_trials
from trainer.tracking.trials import load_record

pytestmark = [
    pytest.mark.slow,
    # MLflow's log_table uses what pandas 4 will change. Commands of other tests are processes.
    pytest.mark.filterwarnings("ignore:For backward compatibility, 'str' dtypes"),
]
SMALL = {
    "models": "lightgbm", "n_splits": "2", "wf_splits": "2", "fee_bps": "1", "slippage_bps": "1",
    "task": "direction", "features": "returns", "embargo": "20",
    "params": "lightgbm.num_boost_round=30,lightgbm.min_data_in_leaf=100,"
    "lightgbm.feature_fraction=0.6,lightgbm.lambda_l2=5",
}  # fmt: skip


class Workers(InlinePool):
    """One worker in this process; `dies` names trials that kill one."""

    def __init__(self, dies: Sequence[int] = (), stop_after: int = 10_000) -> None:
        def fails(task: Task) -> BaseException | None:
            if task.function is not run_trial:
                return None
            if task.arguments[0].number in dies:
                return RuntimeError("killed")
            if sum(t.function is run_trial for t in self.ended) > stop_after:
                raise KeyboardInterrupt
            return None

        super().__init__(n_workers=1, fails=fails)


@pytest.fixture
def bars(registry_store: Any) -> Any:
    """The store, with bars of symbols with and without a planted signal."""
    for seed, (symbol, signal) in enumerate({"PLANT": 0.5, "WALK": 0.0}.items()):
        frame = synthetic_walk(5_000, 0.0, signal, np.random.default_rng(seed))
        frame.to_parquet(Path(registry_store.source) / f"{symbol}_1h.parquet")
    return registry_store


def run(
    store: Any, budget: int, pool: Workers | None = None, **options: str
) -> tuple[SearchSummary, list[Trial]]:
    given = {
        **SMALL,
        "source": store.source,
        "cache_folder": "f",
        "fit_cache_folder": "c",
        **options,
    }
    trials: list[Trial] = []

    def on_trial(study: Study, trial: Trial) -> None:
        trials.append(trial)

    summary = search(
        TrainConfig.parse(given), given, budget, pool or Workers(),  # type: ignore[arg-type]
        on_progress=lambda *_: None, on_trial=on_trial, on_result=lambda _: None,
    )  # fmt: skip
    return summary, trials


def runs_of(store: Any, **tags: str) -> list[Any]:
    experiment = store.client.get_experiment_by_name("barwright").experiment_id
    condition = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    return list(store.client.search_runs([experiment], condition, max_results=1_000))


def test_a_search_finds_the_signal_trains_its_settings_and_counts_its_trials(bars: Any) -> None:
    summary, trials = run(bars, 10, symbols="PLANT")
    (study,) = summary.studies
    assert not summary.failed
    assert sorted(trial.number for trial in trials) == list(range(10))
    best = study.best
    assert best is not None
    assert best.value == max(t.value for t in trials if t.state == "complete") > 0
    assert trials[0].values == study.space.start  # type: ignore[union-attr]
    # The settings of the command find nothing.
    assert trials[0].value == 0

    # Every trial is a run, with its settings, its ratio, and its walk-forward.
    stored = runs_of(bars, kind="trial", symbol="PLANT")
    assert len(stored) == 10
    for stored_run in stored:
        trial = Trial.from_json(stored_run.data.tags["search_trial"])
        assert stored_run.data.params["horizon"] == str(trial.values["horizon"])
        assert stored_run.data.metrics["wf_net_sharpe"] == trial.value
        assert ("record_digest" in stored_run.data.params) == (trial.state == "complete")

    # The best settings were trained on all bars, and every trial counts.
    (candidate,) = runs_of(bars, kind="candidate", symbol="PLANT")
    assert candidate.data.params["horizon"] == str(best.values["horizon"])
    assert float(candidate.data.params["lightgbm.num_leaves"]) == best.values["lightgbm.num_leaves"]
    assert candidate.data.params["search"] == study.key
    # Runs with equal walk-forwards are one trial.
    digests = {r.data.params.get("record_digest", r.info.run_id) for r in stored}
    assert candidate.data.metrics["wf_trials"] == len(digests) + 1
    assert summary.trained is not None
    (registration,) = summary.trained.results
    assert registration.version == "1"
    assert candidate.data.params["walk_forward_plan"]
    record = load_record(str(candidate.info.artifact_uri))
    last_seen = study.part.frame["timestamp"].iloc[-1]  # type: ignore[union-attr]
    assert record is not None
    assert record.time_ns[0] > last_seen.value


def test_a_search_that_was_stopped_goes_on_with_the_same_trials(bars: Any) -> None:
    whole, trials = run(bars, 11, symbols="PLANT", experiment="whole")
    with pytest.raises(KeyboardInterrupt):
        run(bars, 11, Workers(stop_after=6), symbols="PLANT")
    again, added = run(bars, 11, symbols="PLANT")
    assert again.studies[0].read == 6
    assert len(added) == 5
    assert again.studies[0].key == whole.studies[0].key
    ended = {trial.number: trial for trial in again.studies[0].trials.values()}
    for trial in trials:
        assert ended[trial.number].values == trial.values
        assert ended[trial.number].net_sharpe == trial.net_sharpe
        assert ended[trial.number].state == trial.state
    # A larger budget goes on, too; an equal one tries nothing.
    more, added = run(bars, 13, symbols="PLANT")
    assert [trial.number for trial in added] == [11, 12]
    _, added = run(bars, 13, symbols="PLANT")
    assert added == []
    experiment = bars.client.get_experiment_by_name("barwright").experiment_id
    stored = find_search_trials(bars.client, experiment, more.studies[0].key, more.studies[0].job)
    assert [trial.number for trial in stored] == list(range(13))


def test_studies_fail_alone_and_a_dead_worker_fails_its_trial_only(bars: Any) -> None:
    summary, _ = run(bars, 4, Workers(dies=[2]), symbols="NOBARS,WALK")
    missing, walk = summary.studies
    assert summary.failed
    assert "NOBARS" in missing.error
    assert missing.trials == {}
    assert walk.error == ""
    assert [walk.trials[n].state == "failed" for n in range(4)] == [False, False, True, False]
    assert len(runs_of(bars, kind="failure", symbol="WALK")) == 1
    # It is tried again by the next command.
    again, added = run(bars, 4, symbols="WALK")
    assert [trial.number for trial in added] == [2]
    assert not again.failed


def test_without_a_trial_that_earned_nothing_is_trained(bars: Any) -> None:
    summary, _ = run(bars, 3, symbols="WALK", fee_bps="500")
    assert summary.trained is None
    assert not summary.failed
    assert runs_of(bars, kind="candidate", symbol="WALK") == []
    assert len(runs_of(bars, kind="trial", symbol="WALK")) == 3


def test_settings_that_cannot_be_used_end_the_study_after_its_first_batch(bars: Any) -> None:
    summary, trials = run(bars, 40, symbols="WALK", embargo="500")
    assert len(trials) == 4
    assert summary.failed
    assert "`embargo` must be smaller" in summary.studies[0].error


def test_a_changed_file_of_features_is_another_study(bars: Any, tmp_path: Path) -> None:
    file = tmp_path / "features.yaml"
    file.write_text("groups: [returns]\n")
    first, _ = run(bars, 2, symbols="WALK", features=str(file))
    again, added = run(bars, 2, symbols="WALK", features=str(file))
    assert added == []
    file.write_text("groups: [returns]\nwindows: {ret: [5]}\n")
    changed, added = run(bars, 2, symbols="WALK", features=str(file))
    assert len(added) == 2
    assert first.studies[0].key == again.studies[0].key != changed.studies[0].key


def test_a_damaged_trial_fails_its_study_only(bars: Any) -> None:
    run(bars, 2, symbols="WALK")
    damaged = runs_of(bars, kind="trial", symbol="WALK")[0].info.run_id
    bars.client.set_tag(damaged, "search_trial", '{"number": "x"}')
    summary, _ = run(bars, 2, symbols="WALK,PLANT")
    walk, plant = summary.studies
    assert f"the run {damaged} of the search" in walk.error
    assert "delete that run, then give the command again" in walk.error
    assert len(plant.trials) == 2
    bars.client.delete_run(damaged)
    again, added = run(bars, 2, symbols="WALK")
    assert (again.failed, len(added)) == (False, 1)


def test_a_search_on_too_few_bars_says_what_it_sees(bars: Any) -> None:
    frame = synthetic_walk(700, 0.0, 0.0, np.random.default_rng(0))
    frame.to_parquet(Path(bars.source) / "FEW_1h.parquet")
    summary, trials = run(bars, 2, symbols="FEW", features="")
    assert trials == []
    assert "a search sees the first part of the bars, which is " in summary.studies[0].error
    assert "of the 700 of FEW; it needs 494 (294 for the features)" in summary.studies[0].error
