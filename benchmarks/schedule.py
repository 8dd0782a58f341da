"""How busy the workers are: a real run on this machine, and its schedule on more workers."""

from __future__ import annotations

import heapq
import itertools
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.inputs import real_source
from benchmarks.measure import BenchmarkResult, Options, Target
from trainer.config import TrainConfig
from trainer.job import Job, JobResult
from trainer.jobs import steps
from trainer.jobs.schedule import TrainingSchedule
from trainer.jobs.steps import FinishedJob
from trainer.jobs.worker_pool import Ended, Task, WorkerPool

_WORKERS = (1, 2, 4, 8, 16)
_QUICK_PARAMS = "gru.max_epochs=1,lightgbm.num_boost_round=5,ppo.timesteps=2000"


class _Kept:
    """Stands for a result that stays on a worker."""

    def release(self) -> None:
        """Do nothing."""


@dataclass
class _Recorded:
    """A source of tasks that notes what each took and gave; a fit is noted by itself.

    Attributes
    ----------
    schedule : TrainingSchedule
    seconds, results : dict
        By task, as `_key` names it.
    started : dict of int to float
        When a task was taken, by its identity.
    first, last : float
        When a worker got its first task, and when the last one ended.
    """

    schedule: TrainingSchedule
    seconds: dict[tuple[Any, ...], float] = field(default_factory=dict)
    results: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    started: dict[int, float] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0

    @property
    def more(self) -> bool:
        return self.schedule.more

    def take(self, n_workers: int) -> Task | None:
        task = self.schedule.take(n_workers)
        if task is not None:
            now = time.perf_counter()
            self.started[id(task)] = now
            if not task.here and not self.first:
                self.first = now
        return task

    def accept(self, end: Ended) -> None:
        if end.error is not None:
            raise end.error
        if end.task.deaths:
            raise SystemExit(f"a worker died while it ran {end.task.name}; measure again")
        self.last = time.perf_counter()
        taken, task = self.last - self.started[id(end.task)], end.task
        if task.function is steps.make_fits:
            # What a task takes beside its fits is divided among them.
            rest = (taken - sum(made.seconds for made in end.result)) / len(end.result)
            for made in end.result:
                key = (task.name, made.number)
                self.seconds[key], self.results[key] = made.seconds + rest, made
        else:
            key = _key(task)
            self.seconds[key] = taken
            self.results[key] = _Kept() if task.stays else end.result
        self.schedule.accept(end)

    @property
    def work(self) -> float:
        """Seconds of all tasks of workers."""
        return sum(value for key, value in self.seconds.items() if key[1] != "read_bars")


def _key(task: Task) -> tuple[Any, ...]:
    return (task.name, task.function.__name__)


def run(options: Options) -> BenchmarkResult:
    source, symbol, description = real_source(options.source or "sample")
    given: dict[str, Any] = {"symbols": symbol, "source": source, "max_workers": 2}
    if options.quick:
        given |= {"n_splits": 2, "wf_splits": 2, "params": _QUICK_PARAMS}
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig.parse({**given, "cache_folder": folder, "fit_cache": "off"})
        recorded = _record(config)
    result = BenchmarkResult(
        "schedule",
        f"{description} All models of one symbol, from the first task of a worker to the last one; "
        "without the start of the workers and MLflow. First for real on 2 workers; then the same "
        "schedule on more workers, with the recorded results of the tasks and in their times. A "
        "simulated run has no time between two tasks. Efficiency: seconds of the tasks, divided by "
        "workers and time of the run.",
    )
    real = recorded.last - recorded.first
    rows = [["2, real", f"{real:.1f}", f"{recorded.work / (2 * real):.1%}"]]
    for n_workers in _WORKERS:
        seconds = _simulate(config, recorded, n_workers)
        efficiency = recorded.work / (n_workers * seconds)
        rows.append([f"{n_workers}, simulated", f"{seconds:.1f}", f"{efficiency:.1%}"])
        if n_workers in (8, 16):
            target = Target(f"efficiency, {n_workers} workers", 100 * efficiency, 85, True, " %")
            result.targets.append(target)
    result.add_table("one symbol, three models", ["workers", "seconds", "efficiency"], rows)
    longest = sorted(recorded.seconds.items(), key=lambda item: -item[1])[:5]
    result.notes.append(
        f"{recorded.work:.1f} s of tasks; the longest: "
        + ", ".join(f"{'-'.join(map(str, key))} {value:.1f} s" for key, value in longest)
    )
    result.targets.insert(
        0, Target("time on 2 workers / half of the work", 2 * real / recorded.work, 1.15, False)
    )
    return result


def _schedule(config: TrainConfig) -> TrainingSchedule:
    def on_result(result: JobResult, finished: FinishedJob | None) -> None:
        if finished is None:
            raise RuntimeError(result.error)

    jobs = {Job(symbol, model): config for symbol in config.symbols for model in config.models}
    return TrainingSchedule(jobs, on_progress=lambda *call: None, on_result=on_result)


def _record(config: TrainConfig) -> _Recorded:
    """Train for real."""
    recorded = _Recorded(_schedule(config))
    with WorkerPool(config, config.n_jobs * config.n_fits) as pool:
        # The imports of the workers belong to their start.
        pool._client.wait_for_workers(config.max_workers)
        pool._client.run(_nothing)
        for end in pool.each(recorded, lambda *call: None):
            recorded.accept(end)
    return recorded


def _nothing() -> None:
    """Do nothing: a worker answers when its start has ended."""


def _simulate(config: TrainConfig, recorded: _Recorded, n_workers: int) -> float:
    """Return the seconds of the same run on so many workers."""
    now = 0.0
    schedule = _schedule(config)
    running: list[tuple[float, int, Task]] = []
    order = itertools.count()  # of tasks that end at the same time
    while True:
        while sum(not task.here for _, _, task in running) < n_workers:
            task = schedule.take(n_workers)
            if task is None:
                break
            heapq.heappush(running, (now + _seconds(task, recorded), next(order), task))
        if not running:
            return now
        now, _, task = heapq.heappop(running)
        schedule.accept(Ended(task, _result(task, recorded), None))


def _seconds(task: Task, recorded: _Recorded) -> float:
    if task.here:
        return 0.0  # it runs while the workers start
    if task.function is steps.make_fits:
        return sum(recorded.seconds[task.name, fit.number] for fit in task.arguments[3])
    return recorded.seconds[_key(task)]


def _result(task: Task, recorded: _Recorded) -> Any:
    if task.function is steps.make_fits:
        return [recorded.results[task.name, fit.number] for fit in task.arguments[3]]
    return recorded.results[_key(task)]
