"""Workers in this process: real tasks, run in a random order, with the pool's own interface."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from trainer.jobs.worker_pool import Ended, OnJobProgress, Task, TaskSource


@dataclass(eq=False)
class Held:
    """A result that stays on a worker."""

    pool: InlinePool
    value: Any

    def __post_init__(self) -> None:
        self.pool.held.append(self)
        self.pool.most_held = max(self.pool.most_held, len(self.pool.held))

    def release(self) -> None:
        self.pool.held.remove(self)


@dataclass(eq=False)
class InlinePool:
    """Runs tasks of several workers, of which a random one ends next.

    Attributes
    ----------
    fails : callable
        Returns the error with which a task ends before it runs, or None.
    held : list of Held
        Results that stay on workers now; `most_held` is their largest number.
    ended : list of Task
        In the order of their ends.
    """

    n_workers: int = 2
    seed: int = 0
    fails: Callable[[Task], BaseException | None] = lambda task: None
    held: list[Held] = field(default_factory=list)
    most_held: int = 0
    ended: list[Task] = field(default_factory=list)
    closed: bool = False

    def each(self, tasks: TaskSource, on_progress: OnJobProgress) -> Iterator[Ended]:
        rng = np.random.default_rng(self.seed)
        running: list[Task] = []
        here: list[Task] = []
        while True:
            while len(running) < self.n_workers:
                task = tasks.take(self.n_workers)
                if task is None:
                    break
                (here if task.here else running).append(task)
            if not running and not here:
                assert not tasks.more, "tasks are left that no end would bring"
                return
            both = [*running, *here]
            task = both[rng.integers(len(both))]
            (here if task.here else running).remove(task)
            self.ended.append(task)
            yield self._end(task, on_progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.closed = True

    def close_early(self) -> None:
        self.closed = True

    def _end(self, task: Task, on_progress: OnJobProgress) -> Ended:
        if (error := self.fails(task)) is not None:
            return Ended(task, None, error)
        arguments = [a.value if isinstance(a, Held) else a for a in task.arguments]
        try:
            if task.here:
                return Ended(task, task.function(*arguments), None)
            # What travels must be bytes.
            function, arguments = pickle.loads(pickle.dumps((task.function, arguments)))

            def on_own_progress(phase: str, done: int, total: int) -> None:
                on_progress(task.name, phase, done, total)

            result = pickle.loads(pickle.dumps(function(*arguments, on_own_progress)))
        except Exception as error:
            return Ended(task, None, error)
        return Ended(task, Held(self, result) if task.stays else result, None)
