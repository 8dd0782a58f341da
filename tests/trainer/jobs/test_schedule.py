"""The schedule of a run: fits in any order give the results of one process, failures stay alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
from adapters.lgbm import LightGBMAdapter
from benchmarks.selection_noise import synthetic_walk
from scripts.object_store import ObjectStore
from tests.trainer.jobs.inline_pool import InlinePool
from trainer.config import TrainConfig
from trainer.job import Job, JobResult, TrainedModel
from trainer.jobs import run_job as run_job_module
from trainer.jobs import schedule, steps
from trainer.jobs.job_cache import fit_cache_of, fit_cache_of_worker
from trainer.jobs.run_job import run_job
from trainer.jobs.schedule import TrainingSchedule
from trainer.jobs.worker_pool import Ended, Task
from trainer.procedure.fit_cache import FitCache

pytestmark = pytest.mark.slow
SMALL = {
    "models": "lightgbm", "n_splits": 2, "wf_splits": 2, "fee_bps": 0.1, "slippage_bps": 0.1,
    "cache": "off", "embargo": 20, "features": "returns,volatility",
    "params": "lightgbm.num_boost_round=12,lightgbm.learning_rate=0.2",
}  # fmt: skip
#: (2 blocks + production) x (2 folds + 1).
N_FITS = 9


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with SYNTHETIC bars of three symbols."""
    folder = tmp_path_factory.mktemp("bars")
    for seed, symbol in enumerate("ABC"):
        frame = synthetic_walk(1_500, 0.0, 0.3, np.random.default_rng(seed))
        frame.to_parquet(folder / f"{symbol}_1h.parquet")
    return str(folder)


class Run:
    """A schedule that was worked through."""

    def __init__(self, pool: InlinePool, folder: Path, configs: dict[Job, TrainConfig]) -> None:
        self.results: dict[str, JobResult] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.progress: list[tuple[str, str, int, int]] = []
        self.order: list[str] = []

        def on_result(result: JobResult, finished: steps.FinishedJob | None) -> None:
            name = result.job.name
            assert name not in self.results, "a job ends once"
            self.results[name] = result
            self.order.append(name)
            if finished is not None:
                self.files[name] = finished.files

        self.schedule = TrainingSchedule(
            configs, on_progress=lambda *call: self.progress.append(call), on_result=on_result
        )
        for end in pool.each(self.schedule, lambda *call: None):
            self.schedule.accept(end)
        assert pool.held == [], "datasets are left on the workers"


def settings(source: str, symbols: str, folder: Path, **changes: Any) -> dict[Job, TrainConfig]:
    config = TrainConfig.parse(
        {**SMALL, "symbols": symbols, "source": source, "fit_cache_folder": str(folder / "fits"),
         **changes}
    )  # fmt: skip
    return {Job(s, m): config for s in config.symbols for m in config.models}


def steps_of(pool: InlinePool) -> Counter[str]:
    return Counter(task.function.__name__ for task in pool.ended)


def fits_of(pool: InlinePool) -> int:
    return sum(len(t.arguments[3]) for t in pool.ended if t.function is steps.make_fits)


def comparable(trained: TrainedModel | None) -> str:
    """All of a model but its place and its times, as a text in which NaN is equal to NaN."""
    assert trained is not None
    parts = (
        trained.contract, trained.headline, trained.evidence, trained.curves, trained.params,
        trained.data, trained.requirements, trained.record.digest, sorted(trained.figures.items()),
    )  # fmt: skip
    return repr(parts)


@pytest.mark.parametrize(("seed", "n_workers"), [(1, 2), (2, 5)])
def test_fits_in_any_order_give_the_bytes_of_one_process(
    source: str, tmp_path: Path, seed: int, n_workers: int
) -> None:
    changes = {"fit_cache": "off", "null_runs": 2, "position": "break-even"}
    configs = settings(source, "A", tmp_path, **changes)
    pool = InlinePool(n_workers, seed)
    run = Run(pool, tmp_path, configs)
    # The null runs have two blocks of three fits each.
    assert fits_of(pool) == N_FITS + 2 * 6
    for job, config in configs.items():
        alone = run_job(job, config, tmp_path / job.name, lambda *_: None)
        result = run.results[job.name]
        assert comparable(result.trained) == comparable(alone.trained)
        assert alone.trained is not None
        for path in alone.trained.folder.iterdir():
            assert run.files[job.name][path.name] == path.read_bytes(), path.name
        assert len(run.files[job.name]) == len(list(alone.trained.folder.iterdir()))
        fits = [call[2:] for call in run.progress if call[:2] == (job.name, "fits")]
        assert fits[-1] == (21, 21)
        assert fits == sorted(fits)


@pytest.mark.parametrize("model", ["lightgbm", "ppo"])
def test_models_are_asked_where_they_are_fitted(
    model: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To finish a job, only the model that is saved computes anything: on its golden rows."""
    asked: list[str] = []
    where = ["fits"]
    adapter = adapters.find(model)
    for method in ("predict", "rollout"):
        compute = getattr(adapter, method)

        def note(self: Any, *rows: Any, compute: Any = compute, method: str = method) -> Any:
            asked.append(f"{where[0]} {method}")
            return compute(self, *rows)

        monkeypatch.setattr(adapter, method, note)
    real_assemble = run_job_module._assemble

    def assemble(*arguments: Any) -> Any:
        where[0] = "save"
        return real_assemble(*arguments)

    monkeypatch.setattr(run_job_module, "_assemble", assemble)
    walk_forward = run_job_module.walk_forward

    def walk(*arguments: Any, **options: Any) -> Any:
        where[0] = "judge"
        return walk_forward(*arguments, **options)

    monkeypatch.setattr(run_job_module, "walk_forward", walk)
    params = "ppo.timesteps=512" if model == "ppo" else SMALL["params"]
    run = Run(InlinePool(2), tmp_path, settings(source, "A", tmp_path, models=model, params=params))
    assert run.results[f"{model}-A"].error == ""
    assert {text.split()[0] for text in asked} == {"fits", "save"}


def test_models_of_a_symbol_share_its_dataset(source: str, tmp_path: Path) -> None:
    small = "gru.hidden=4,gru.max_epochs=1,gru.lookback=8,gru.chunk=48"
    params = f"{SMALL['params']},{small}"
    configs = settings(source, "A", tmp_path, models="gru,lightgbm", params=params)
    pool = InlinePool(1)
    run = Run(pool, tmp_path, configs)
    assert all(result.error == "" for result in run.results.values())
    assert steps_of(pool)["read_bars"] == steps_of(pool)["build_data"] == 1
    first = next(task for task in pool.ended if task.function is steps.make_fits)
    assert first.name == "gru-A", "the fits that take longest are made first"
    rows = [fit.rows for t in pool.ended if t.function is steps.make_fits for fit in t.arguments[3]]
    assert rows[0] == max(rows)


def test_small_fits_are_handed_out_together_once_their_time_is_known(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sizes(n_workers: int, cache: str) -> list[int]:
        pool = InlinePool(n_workers)
        Run(pool, tmp_path, settings(source, "A", tmp_path, fit_cache_folder=str(tmp_path / cache)))
        return [len(t.arguments[3]) for t in pool.ended if t.function is steps.make_fits]

    # Each takes some milliseconds. The first one is measured, the others go together.
    assert sizes(1, "one") == [1, N_FITS - 1]
    assert max(sizes(2, "small")) > N_FITS / 2, "too small to be shared"
    monkeypatch.setattr(schedule, "_LEAST_SECONDS", 0)
    shared = sizes(2, "two")
    assert sum(shared) == N_FITS
    assert 1 < max(shared) <= math.ceil((N_FITS - 1) / 2)


def test_a_model_with_one_slow_fit_is_not_left_to_the_end(source: str, tmp_path: Path) -> None:
    small = "gru.hidden=4,gru.max_epochs=1,gru.lookback=8,gru.chunk=48"
    configs = settings(
        source, "A", tmp_path, models="gru,lightgbm", params=f"{SMALL['params']},{small}"
    )

    class Slow(InlinePool):
        """The first fit of lightgbm takes an hour, all other ones a millisecond."""

        def each(self, *arguments: Any) -> Iterator[Ended]:
            slow = True
            for end in super().each(*arguments):
                if end.task.function is steps.make_fits:
                    is_lightgbm = end.task.name == "lightgbm-A"
                    seconds = 3600.0 if is_lightgbm and slow else 0.001
                    slow = slow and not is_lightgbm
                    end = end._replace(result=[replace(fit, seconds=seconds) for fit in end.result])
                yield end

    pool = Slow(1)
    Run(pool, tmp_path, configs)
    tasks = [task for task in pool.ended if task.function is steps.make_fits]
    order = [task.name for task in tasks]
    # The first fit of each model goes by the cost that is stated for the model.
    assert order == ["gru-A"] + ["lightgbm-A"] * N_FITS + ["gru-A"]
    assert [len(task.arguments[3]) for task in tasks] == [1] * (1 + N_FITS) + [N_FITS - 1]


@pytest.mark.parametrize(("n_workers", "null_runs", "most"), [(1, 0, 2), (1, 2, 4)])
def test_datasets_in_memory_depend_on_the_workers_only(
    source: str, tmp_path: Path, n_workers: int, null_runs: int, most: int
) -> None:
    """One for each worker and one more, and as many for null runs."""
    pool = InlinePool(n_workers)
    run = Run(pool, tmp_path, settings(source, "A,B,C", tmp_path, null_runs=null_runs))
    assert pool.most_held <= most
    assert sorted(run.order) == [f"lightgbm-{symbol}" for symbol in "ABC"]
    if not null_runs:
        assert run.order[0] == "lightgbm-A", "the first symbol is finished first"


def test_no_series_is_opened_while_results_wait(source: str, tmp_path: Path) -> None:
    answers = iter([True, False, False, True])
    configs = settings(source, "A,B", tmp_path)
    schedule = TrainingSchedule(
        configs, on_progress=lambda *_: None, on_result=lambda *_: None,
        may_open=lambda: next(answers),
    )  # fmt: skip
    first = schedule.take(2)
    assert first is not None
    assert first.arguments[1] == "A"
    assert (schedule.take(2), schedule.take(2)) == (None, None)
    assert schedule.more
    second = schedule.take(2)
    assert second is not None
    assert second.arguments[1] == "B"
    assert not schedule.more


# --- the fit cache ----------------------------------------------------------------------------


def test_a_rerun_makes_only_the_fits_that_are_missing(source: str, tmp_path: Path) -> None:
    configs = settings(source, "A,B", tmp_path)
    first = Run(InlinePool(), tmp_path, configs)
    entries = sorted((tmp_path / "fits").glob("*.fit"))
    assert len(entries) == 2 * N_FITS
    for path in entries[:3]:
        path.unlink()
    pool = InlinePool(seed=1)
    again = Run(pool, tmp_path, configs)
    assert fits_of(pool) == 3
    read = [result.trained.data.fits_read for result in again.results.values() if result.trained]
    assert sum(read) == 2 * N_FITS - 3
    assert again.files == first.files
    pool = InlinePool(seed=2)
    Run(pool, tmp_path, settings(source, "A,B", tmp_path, fee_bps=3))
    assert fits_of(pool) == 0, "lightgbm is not fitted to costs"
    falls = [t.arguments[2].falls for t in pool.ended if t.function is steps.finish]
    assert [set(of_job) for of_job in falls] == [{0, 1}] * 2, "importances are read, too"


def test_fits_that_were_stored_without_importances_are_read_all_the_same(
    source: str, tmp_path: Path
) -> None:
    """As those of a search, or of a job in one process."""
    configs = settings(source, "A", tmp_path)
    ((job, config),) = configs.items()
    alone = run_job(job, config, tmp_path / "alone", lambda *_: None)
    pool = InlinePool()
    run = Run(pool, tmp_path, configs)
    assert fits_of(pool) == 0
    (finish,) = (task for task in pool.ended if task.function is steps.finish)
    assert finish.arguments[2].falls == {}
    assert alone.trained is not None
    for name, content in run.files[job.name].items():
        assert content == (alone.trained.folder / name).read_bytes(), name


def test_a_fit_of_another_processor_is_used_and_not_stored(source: str, tmp_path: Path) -> None:
    def elsewhere(task: Task) -> None:
        if task.function is steps.make_fits:
            for fit in task.arguments[3]:
                object.__setattr__(fit, "environment", "another")

    run = Run(InlinePool(fails=elsewhere), tmp_path, settings(source, "A", tmp_path))
    assert run.results["lightgbm-A"].error == ""
    assert not (tmp_path / "fits").exists()


def test_machines_share_the_fits_in_a_bucket(
    source: str, tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    configs = settings(
        source, "A", tmp_path, fit_cache_folder=f"s3://{object_store.bucket}/schedule"
    )
    first = Run(InlinePool(), tmp_path, configs)
    assert len(object_store.keys("schedule/")) == N_FITS
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    pool = InlinePool(seed=1)
    assert Run(pool, tmp_path, configs).files == first.files
    assert fits_of(pool) == 0


def test_a_worker_of_a_cluster_has_no_fit_cache(source: str, tmp_path: Path) -> None:
    (config,) = settings(source, "A", tmp_path).values()
    assert fit_cache_of_worker(config) is fit_cache_of(config) is not None
    remote = config.model_copy(update={"scheduler": "tls://host:8786"})
    assert fit_cache_of_worker(remote) is None
    assert fit_cache_of(remote) is fit_cache_of(config)


def test_a_folder_that_cannot_be_written_costs_no_fit(
    source: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    pool = InlinePool()
    configs = settings(source, "A,B", tmp_path, fit_cache_folder=str(tmp_path / "file" / "fits"))
    run = Run(pool, tmp_path, configs)
    assert [result.error for result in run.results.values()] == ["", ""]
    assert fits_of(pool) == 2 * N_FITS
    (message,) = caplog.messages
    assert "cannot be written: Not a directory. The run goes on without it." in message


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", ["read_bars", "build_data", "plan_fits", "make_fits", "null_data", "null_ratio",
             "finish"],
)  # fmt: skip
def test_a_step_that_fails_ends_the_jobs_of_its_symbol_only(
    source: str, tmp_path: Path, step: str
) -> None:
    pool: InlinePool

    def fails(task: Task) -> BaseException | None:
        name = task.function.__name__
        count = sum(t.function.__name__ == name and t.name == task.name for t in pool.ended)
        broken = name == step and task.name == "lightgbm-B" and count == 1
        return OSError("the disk is full") if broken else None

    pool = InlinePool(fails=fails)
    runs = int(step.startswith("null"))
    symbols = "A,B" if step == "make_fits" else "B"
    run = Run(pool, tmp_path, settings(source, symbols, tmp_path, null_runs=runs))
    failed = run.results.pop("lightgbm-B")
    assert failed.error == "OSError: the disk is full"
    assert [result.error for result in run.results.values()] == [""] * (len(symbols) // 2)
    assert failed.trained is None
    assert failed.started <= failed.ended


def test_a_symbol_without_bars_fails_with_the_text_for_the_user(
    source: str, tmp_path: Path
) -> None:
    run = Run(InlinePool(), tmp_path, settings(source, "NONE,A", tmp_path))
    assert run.results["lightgbm-A"].error == ""
    assert "NONE" in run.results["lightgbm-NONE"].error
    assert "Traceback" in run.results["lightgbm-NONE"].details
    assert "\n" not in run.results["lightgbm-NONE"].error


class Forgetful(LightGBMAdapter):
    """A model whose file loses half of its scores."""

    name = "forgetful"
    _loaded = False

    def predict(self, X: Any, position: Any = None) -> Any:
        return super().predict(X, position) * (0.5 if self._loaded else 1.0)

    @classmethod
    def load(cls, path: Path) -> Any:
        model = super().load(path)
        model._loaded = True
        return model


def test_a_model_that_does_not_travel_is_fitted_by_one_worker(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Callable[[str], Any] = adapters.find
    monkeypatch.setattr(adapters, "find", lambda name: Forgetful)
    pool = InlinePool(1)
    run = Run(pool, tmp_path, settings(source, "A", tmp_path, null_runs=1))
    monkeypatch.setattr(adapters, "find", find)
    assert run.results["lightgbm-A"].error == ""
    assert fits_of(pool) == 1, "the first fit shows it"
    finish = [task for task in pool.ended if task.function is steps.finish]
    assert [task.arguments[2] for task in finish] == [None]
    assert FitCache.at(tmp_path / "fits").n_read == 0
