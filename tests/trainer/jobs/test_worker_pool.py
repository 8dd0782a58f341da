"""Real worker processes: results, errors, progress, results that stay, workers that die.

Commands whose workers die are in tests/service/test_crash.py.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed.scheduler import KilledWorker

from trainer.config import TrainConfig
from trainer.jobs.worker_pool import Ended, Task, WorkerPool, death_text

pytestmark = pytest.mark.slow
OnProgress = Callable[[str, int, int], None]


class Tasks(deque[Task]):
    """Tasks in their order."""

    more = False

    def take(self, n_workers: int) -> Task | None:
        assert n_workers >= 1
        return self.popleft() if self else None


# Workers import functions by name, and do not know this module: it is sent to them.
def double(value: int, on_progress: OnProgress) -> int:
    on_progress("doubling", value, 10)
    return 2 * value


def fail(value: int, on_progress: OnProgress) -> int:
    raise ValueError(f"not {value}")


def wait(seconds: float, on_progress: OnProgress) -> None:
    import time

    time.sleep(seconds)


def die(folder: str, times: int, on_progress: OnProgress) -> int:
    """End the worker, unless so many have ended already."""
    import os
    import signal
    from pathlib import Path

    ended = list(Path(folder).iterdir())
    if len(ended) < times:
        (Path(folder) / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return len(ended)


def thread_of_caller() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


def level_of_the_log() -> int:
    return logging.getLogger("distributed.worker").getEffectiveLevel()


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    import cloudpickle

    module = __import__(__name__, fromlist=["_"])
    cloudpickle.register_pickle_by_value(module)
    config = TrainConfig.parse(
        {"symbols": "A", "source": "sample", "max_workers": 1, "worker_timeout": 30}
    )
    with WorkerPool(config, 4) as made:
        yield made
    cloudpickle.unregister_pickle_by_value(module)


def run(pool: WorkerPool, *tasks: Task, progress: list[Any] | None = None) -> list[Ended]:
    calls = [] if progress is None else progress
    return list(pool.each(Tasks(tasks), lambda *call: calls.append(call)))


def test_results_and_errors_come_with_their_tasks_and_progress_with_their_names(
    pool: WorkerPool,
) -> None:
    tasks = [Task("a", double, (3,)), Task("b", fail, (4,)), Task("c", double, (5,))]
    calls: list[Any] = []
    ends = run(pool, *tasks, progress=calls)
    assert [end.task for end in ends] == tasks
    assert [end.result for end in ends] == [6, None, 10]
    assert repr(ends[1].error) == "ValueError('not 4')"
    assert death_text(ends[1].error) == "ValueError: not 4"  # type: ignore[arg-type]
    assert {("a", "doubling", 3, 10), ("c", "doubling", 5, 10)} <= set(calls)
    # A connection that ends would print a traceback between the lines for people.
    assert list(pool._client.run(level_of_the_log).values()) == [logging.CRITICAL]


def test_a_client_that_forgets_its_workers_costs_no_fit(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every two seconds the client stores what it knows of the cluster: without the workers."""
    client = pool._client
    real = client._update_scheduler_info

    async def forget(n_workers: int = 0) -> None:
        await real(n_workers)
        await real()  # the regular one comes before the caller has read the answer

    monkeypatch.setattr(client, "_update_scheduler_info", forget)
    (end,) = run(pool, Task("a", wait, (2,)))
    assert end.error is None
    assert end.task.deaths == 0


def test_a_result_that_stays_is_an_argument_of_later_tasks(pool: WorkerPool) -> None:
    (first,) = run(pool, Task("a", double, (3,), stays=True))
    (second,) = run(pool, Task("b", double, (first.result,)))
    assert second.result == 12
    first.result.release()


def test_a_result_that_is_lost_with_its_worker_is_made_again(
    pool: WorkerPool, tmp_path: Path
) -> None:
    (first,) = run(pool, Task("a", double, (3,), stays=True))
    ends = run(pool, Task("b", die, (str(tmp_path), 1)), Task("c", double, (first.result,)))
    assert [end.result for end in ends if end.task.name == "c"] == [12]
    first.result.release()


def kept_messages(dask_worker: Any) -> int:
    return int(dask_worker.batched_stream.recent_message_log.maxlen)


def test_messages_with_bars_and_fits_are_not_kept(pool: WorkerPool) -> None:
    """Memory would grow with the number of symbols."""
    tasks = [Task("t", double, (number,)) for number in range(30)]
    assert len(list(pool.each(Tasks(tasks), lambda *call: None))) == 30
    assert 1 <= len(pool._client.scheduler_comm.recent_message_log) <= 10
    assert set(pool._client.run(kept_messages).values()) == {10}


def test_a_task_of_this_process_runs_in_a_thread(pool: WorkerPool) -> None:
    (end,) = run(pool, Task("a", thread_of_caller, (), here=True))
    pid, thread = end.result
    assert pid == os.getpid()
    assert thread != threading.current_thread().name
    (end,) = run(pool, Task("a", int, ("x",), here=True))
    assert isinstance(end.error, ValueError)


@pytest.mark.parametrize(("times", "ends_with"), [(1, 1), (2, None)])
def test_a_task_whose_worker_dies_is_run_once_more(
    pool: WorkerPool, tmp_path: Path, times: int, ends_with: int | None
) -> None:
    ends = run(pool, Task("a", die, (str(tmp_path), times)), Task("b", double, (7,)))
    by_name = {end.task.name: end for end in ends}
    assert by_name["b"].result == 14, "the other task is done"
    assert by_name["a"].result == ends_with
    assert len(list(tmp_path.iterdir())) == times
    if times == 2:
        error = by_name["a"].error
        assert isinstance(error, KilledWorker)
        assert death_text(error).startswith("its worker process died twice (killed, or out of")


def test_there_are_no_more_workers_than_tasks_or_processors() -> None:
    config = TrainConfig.parse({"symbols": "A", "source": "sample", "max_workers": 200})
    processors = len(os.sched_getaffinity(0))
    assert WorkerPool(config, 1)._workers._count == 1
    assert WorkerPool(config, 500)._workers._count == processors
