"""Trials: the runs that could have been chosen, all of which count against the chosen one.

The best of many trials looks good by luck. `Trials` measures how much of a candidate's result luck
explains: by its deflated Sharpe ratio, and by the probability of backtest overfitting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run, ViewType

from trainer.arrays import FloatArray
from trainer.errors import TrainerError
from trainer.evidence.metric_names import stored_name
from trainer.evidence.record import RECORD_FILE, Record
from trainer.scratch import scratch_folder
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.overfitting import backtest_overfitting
from trainer.statistics.sharpe_inference import Moments, deflated_sharpe
from trainer.tracking.store import STORE_ERRORS, find_runs
from trainer.tracking.tag_names import CANDIDATE, KIND, SEARCH, SYMBOL, TRIAL

#: A trial on less than this share of the chosen one's bars is left out of the PBO: the common bars
#: would shrink to its own.
_LEAST_COMMON_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Trial:
    """A run that could have been chosen.

    Attributes
    ----------
    run_id, interval : str
    sharpe : float
        Net Sharpe ratio of the walk-forward, annualised; 0 if it never traded.
    tries : int
        Models that its fits chose from, for example seeds.
    digest : str
        Digest of its record; empty for a run that kept none.
    finished : bool
        Whether the run came to its end. Only then must its record exist.
    search : str
        Study that it belongs to; empty for a candidate.
    artifact_uri : str
        Where the run keeps its files.
    """

    run_id: str
    interval: str
    sharpe: float
    tries: int
    digest: str
    finished: bool = True
    search: str = ""
    artifact_uri: str = ""


@dataclass(frozen=True, eq=False)
class Trials:
    """All trials of a symbol in an experiment.

    Deleted runs are among them: the luck of many trials remains when the trials are deleted.

    Attributes
    ----------
    trials : tuple of Trial
    records : dict of str to Record
        Records by digest that are loaded already. `metrics` adds those that it downloads.
    """

    trials: tuple[Trial, ...]
    records: dict[str, Record] = field(default_factory=dict)

    @property
    def n_trials(self) -> int:
        """Number of trials; a run whose fits chose from several models counts as several."""
        return sum(trial.tries for trial in self.trials)

    def metrics(
        self, chosen: Record, *, interval: str, terms: Terms, search: str = ""
    ) -> dict[str, float]:
        """Return the metrics of a candidate that depend on all trials.

        Parameters
        ----------
        chosen : Record
            Walk-forward of the candidate.
        interval : str
            Length of its bars. Trials on bars of another length are counted, but have no bars in
            common with it.
        terms : Terms
            Costs per side of the candidate, and bars in its trading year.
        search : str
            Study that chose the settings of the candidate; empty if none did.

        Returns
        -------
        dict of str to float
            ``dsr``, ``pbo`` and ``trials``. ``pbo`` is NaN where the record of a finished trial is
            gone or damaged: without it the candidate could only look better. For settings that a
            study chose it is the higher one of two: of the candidates on their bars, and of the
            trials of the study on theirs, which are other bars.
        """
        of_interval = [t for t in self.trials if t.interval == interval and t.digest]
        pbo = self._overfitting([t for t in of_interval if not t.search], chosen, terms)
        if search:
            of_study = [trial for trial in of_interval if trial.search == search]
            pbo = float(np.maximum(pbo, self._overfitting(of_study, None, terms)))
        return {
            "dsr": self.deflated_sharpe(chosen.net(terms.costs), terms.periods_per_year),
            "pbo": pbo,
            "trials": float(self.n_trials),
        }

    def _overfitting(self, trials: list[Trial], chosen: Record | None, terms: Terms) -> float:
        """Return the PBO of a record among these trials; by default of the best of them."""
        lost = [trial for trial in trials if not self._fetch_record(trial)]
        if any(trial.finished for trial in lost):
            return math.nan
        known = [trial for trial in trials if trial.digest in self.records]
        if chosen is None:
            if not known:
                return math.nan
            chosen = self.records[max(known, key=lambda trial: trial.sharpe).digest]
        records = {trial.digest: self.records[trial.digest] for trial in known}
        return overfitting(records, chosen, terms.costs)

    def _fetch_record(self, trial: Trial) -> bool:
        """Put the record of a trial among `records`; return False if it is lost."""
        if trial.digest in self.records:
            return True
        try:
            record = load_record(trial.artifact_uri)
        except TrainerError:  # the file is damaged
            record = None
        if record is None or record.digest != trial.digest:
            return False
        self.records[trial.digest] = record
        return True

    def deflated_sharpe(self, net: FloatArray, periods_per_year: float) -> float:
        """Return the probability that the true Sharpe ratio beats the best that luck gives.

        The best of n trials without skill is estimated in two ways, and the higher estimate counts:

        - from the spread of the candidates' Sharpe ratios. Those that lose to their costs widen the
          spread although they are not lucky, so a mean below 0 is taken into account. A mean above
          0 is not: skill looks like that. Trials of a search are counted, and have no part in the
          spread: their ratios are those of other and fewer bars, which vary more by themselves.
        - from as many independent trials without skill on as many bars.

        Parameters
        ----------
        net : float64 array of shape (n,)
            Net returns of the candidate, one a bar.
        periods_per_year : float
        """
        moments = Moments.of(net)
        own = [trial.sharpe for trial in self.trials if not trial.search]
        ratios = np.array(own) / math.sqrt(periods_per_year)
        n_trials = max(1, self.n_trials)
        by_chance = deflated_sharpe(moments, n_trials, 1 / max(1, moments.n - 1))
        if len(ratios) < 2:
            return by_chance
        spread, mean = float(ratios.var(ddof=1)), min(0.0, float(ratios.mean()))
        return min(by_chance, deflated_sharpe(moments, n_trials, spread, mean))


def find_trials(client: MlflowClient, experiment_id: str, symbol: str) -> Trials:
    """Return the trials of a symbol.

    A run is a trial if its result could be chosen: it is a candidate, whatever its model, settings
    or seed, or a trial of a search. Runs with equal walk-forwards, bit for bit, are one trial: a
    repeated command tries nothing new.

    Raises
    ------
    TrainerError
        If the parameter ``trials`` of a run is not a number.
    """
    trials: dict[str, Trial] = {}
    # MLflow's search has no `or` for tags.
    runs = [
        run
        for kind in (CANDIDATE, TRIAL)
        for run in find_runs(
            client,
            experiment_id,
            f"tags.{KIND} = '{kind}' and tags.{SYMBOL} = '{symbol}'",
            ViewType.ALL,
        )
    ]
    for run in runs:
        trial = _trial(run)
        trials.setdefault(trial.digest or trial.run_id, trial)
    return Trials(tuple(trials.values()))


def _trial(run: Run) -> Trial:
    params = run.data.params
    sharpe = run.data.metrics.get(stored_name("net_sharpe"), 0.0)
    try:
        tries = max(1, int(params.get("trials", "1")))
    except ValueError as error:
        raise TrainerError(
            f"run {run.info.run_id} has trials={params.get('trials')!r}, which is not a number; "
            "delete the run for good, or use another experiment"
        ) from error
    return Trial(
        run_id=run.info.run_id,
        interval=params.get("interval", ""),
        sharpe=sharpe if math.isfinite(sharpe) else 0.0,
        tries=tries,
        digest=params.get("record_digest", ""),
        finished=run.info.status == "FINISHED",
        search=run.data.tags.get(SEARCH, ""),
        artifact_uri=str(run.info.artifact_uri),
    )


def overfitting(records: Mapping[str, Record], chosen: Record, costs: Costs) -> float:
    """Return the probability of backtest overfitting of trials, on their common bars.

    Parameters
    ----------
    records : mapping of str to Record
        Walk-forwards of the trials by digest; all have the interval of the chosen one.
    chosen : Record
        Walk-forward of the candidate. A trial that covers less than half of its bars is left out.
    costs : Costs
        Costs per side of the candidate; every trial pays them.

    Returns
    -------
    float
        "Do not trade" is always among the configurations, as it is among the thresholds, so that a
        single trial has an alternative. NaN for too few common bars.
    """
    usable = {chosen.digest: chosen} | {
        digest: record
        for digest, record in records.items()
        if np.isin(chosen.time_ns, record.time_ns, assume_unique=True).mean() >= _LEAST_COMMON_SHARE
    }
    common = chosen.time_ns  # (common bars,)
    for record in usable.values():
        common = np.intersect1d(common, record.time_ns, assume_unique=True)
    columns = [np.zeros(len(common))]
    for record in usable.values():
        net = record.net(costs)
        columns.append(net[np.searchsorted(record.time_ns, common)])
    return backtest_overfitting(np.column_stack(columns))  # (common bars, configurations)


def load_record(artifact_uri: str) -> Record | None:
    """Return the walk-forward of a run; None if the run kept none, or it is gone.

    Parameters
    ----------
    artifact_uri : str
        Where the run keeps its files. By the id of a run MLflow would read all of its metrics
        twice before it reads the file.

    Raises
    ------
    TrainerError
        If the file is not a record.
    """
    with scratch_folder() as folder:
        try:
            path = download_artifacts(f"{artifact_uri}/{RECORD_FILE}", dst_path=str(folder))
        except STORE_ERRORS:
            return None
        return Record.read(Path(path))
