"""Retraining: stale names are trained again with their settings, and promoted behind the gate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from barwright import BarwrightError
from trainer.config import TrainConfig
from trainer.job import Job
from trainer.jobs.job_cache import check_fit_cache
from trainer.jobs.train import Registration, train_jobs
from trainer.jobs.worker_pool import OnJobProgress, WorkerPool
from trainer.registry.claims import ClaimedError
from trainer.registry.promotion import Decision
from trainer.registry.stale import StaleName, StaleNames, read_config
from trainer.registry.verify import Verifier
from trainer.run_file import run_file_text
from trainer.tracking.mlflow_runs import open_tracking
from trainer.tracking.store import STORE_ERRORS, store_error

#: Names that a command claims at a time. Commands on other machines take those that are left.
_CLAIMED = 16


@dataclass(frozen=True)
class Retrained:
    """What became of a stale name.

    Attributes
    ----------
    stale : StaleName
    registration : Registration or None
        None if it was not trained.
    decision : Decision or None
        Decision of the gate; None if the name has no such alias, or no newer version.
    error : str
        Why it was not trained or judged; empty otherwise.
    busy : bool
        Whether another command trains it, or has just trained it.
    """

    stale: StaleName
    registration: Registration | None = None
    decision: Decision | None = None
    error: str = ""
    busy: bool = False

    @property
    def failed(self) -> bool:
        """Whether it is still stale through a fault."""
        return bool(self.error) and not self.busy


@dataclass
class Retraining:
    """A command that trains stale names again.

    Attributes
    ----------
    names : StaleNames
    uri : str
        Address of the store.
    alias : str
        Alias that moves to a version which passes the gate, if the name has it already.
    changes : dict of str to str
        Options that replace those with which the versions were trained.
    on_progress, on_result : callable
        As in `trainer.jobs.train.train`.
    """

    names: StaleNames
    uri: str
    alias: str
    changes: dict[str, str]
    on_progress: OnJobProgress
    on_result: Callable[[Registration], None]
    _done: list[Retrained] = field(default_factory=list, init=False)

    def run(self, stale: Sequence[StaleName], verifier: Verifier) -> list[Retrained]:
        """Train these names again, and return what became of each, in their order.

        Parameters
        ----------
        stale : sequence of StaleName
        verifier : Verifier
            Open; its store is named here.
        """
        for begin in range(0, len(stale), _CLAIMED):
            with ExitStack() as claims:
                self._train_and_judge(stale[begin : begin + _CLAIMED], claims, verifier)
        order = {one.name: place for place, one in enumerate(stale)}
        return sorted(self._done, key=lambda one: order[one.stale.name])

    def _train_and_judge(
        self, names: Sequence[StaleName], claims: ExitStack, verifier: Verifier
    ) -> None:
        by_experiment: defaultdict[str, dict[Job, TrainConfig]] = defaultdict(dict)
        claimed: dict[Job, StaleName] = {}
        for stale in names:
            try:
                claims.enter_context(self.names.claim(stale))
                job, config = read_config(stale, self.changes)
                check_fit_cache(config)
            except ClaimedError as error:
                self._done.append(Retrained(stale, error=str(error), busy=True))
            except BarwrightError as error:
                self._done.append(Retrained(stale, error=str(error)))
            else:
                claimed[job] = stale
                by_experiment[config.experiment][job] = config
        for experiment, configs in by_experiment.items():
            for registration in self._train(experiment, configs, verifier):
                job = registration.result.job
                self._done.append(self._judge(claimed[job], registration, configs[job]))

    def _train(
        self, experiment: str, configs: Mapping[Job, TrainConfig], verifier: Verifier
    ) -> list[Registration]:
        names = [job.name for job in configs]
        first = next(iter(configs.values()))
        run_name = f"retrain {names[0]}" + (f" +{len(names) - 1} more" * (len(names) > 1))
        run_file = run_file_text(first, cluster=False) if len(names) == 1 else "# see the runs\n"
        n_fits = sum(config.n_fits for config in configs.values())
        with open_tracking(experiment, {"names": ",".join(names)}, run_name, run_file) as tracking:
            return train_jobs(
                configs,
                WorkerPool(first, n_fits),
                tracking,
                verifier,
                on_progress=self.on_progress,
                on_result=self.on_result,
            ).results

    def _judge(
        self, stale: StaleName, registration: Registration, config: TrainConfig
    ) -> Retrained:
        version = registration.version
        if version is None:
            return Retrained(stale, registration, error=registration.result.error)
        try:
            decision = self.names.judge(stale.name, version, self.alias, config.source)
        except STORE_ERRORS as error:
            return Retrained(stale, registration, error=str(store_error(self.uri, error)))
        except BarwrightError as error:
            return Retrained(stale, registration, error=str(error))
        return Retrained(stale, registration, decision)
