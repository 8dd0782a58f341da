"""What was tried beside a candidate: every trial counts against the one that is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run, ViewType

from trainer.errors import TrainerError
from trainer.evidence.record import RECORD_FILE, Record
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.overfitting import backtest_overfitting
from trainer.statistics.sharpe_inference import Moments, deflated_sharpe
from trainer.tracking.store import STORE_ERRORS, every_page

_PAGE = 1_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trial:
    """One selectable run.

    Attributes
    ----------
    run_id, interval : str
    sharpe : float
        Walk-forward net Sharpe ratio, annualised; 0 if it never traded.
    tries : int
        Models that its fits chose from: seeds, for example.
    digest : str
        Of its record; empty for runs that kept none.
    finished : bool
        Whether the run came to its end, so that its record must be there.
    """

    run_id: str
    interval: str
    sharpe: float
    tries: int
    digest: str
    finished: bool = True


@dataclass(frozen=True, eq=False)
class Campaign:
    """All trials of a symbol in an experiment, deleted ones too: forgetting does not undo luck."""

    trials: tuple[Trial, ...]
    #: Records by digest that need not be fetched.
    records: dict[str, Record] = field(default_factory=dict)

    @property
    def n_trials(self) -> int:
        """Trials to count."""
        return sum(trial.tries for trial in self.trials)

    def figures(
        self,
        chosen: Record,
        *,
        interval: str,
        terms: Terms,
    ) -> dict[str, float]:
        """Return ``dsr``, ``pbo`` and ``trials`` of one candidate.

        Parameters
        ----------
        chosen : Record
            Its walk-forward.
        interval : str
            Length of its bars: trials on others are counted, but share no bars with it.
        terms : Terms
            Its costs per side, and bars in its trading year.

        Returns
        -------
        dict of str to float
            ``pbo`` is NaN where the record of a finished trial is gone or damaged.
        """
        lost = False
        for trial in self.trials:
            if trial.interval == interval and trial.digest and trial.digest not in self.records:
                try:
                    record = load_record(trial.run_id)
                except TrainerError:  # damaged
                    record = None
                if record is not None and record.digest == trial.digest:
                    self.records[trial.digest] = record
                else:
                    lost |= trial.finished
        same = {
            trial.digest: self.records[trial.digest]
            for trial in self.trials
            if trial.interval == interval and trial.digest in self.records
        }
        net = chosen.net(terms.costs)
        return {
            "dsr": self.deflated_sharpe(net, terms.periods_per_year),
            # Without the lost ones it could only look better.
            "pbo": math.nan if lost else overfitting(same, chosen, terms.costs),
            "trials": float(self.n_trials),
        }

    def deflated_sharpe(self, net: Floats, periods_per_year: float) -> float:
        """Return the probability that these returns' true ratio beats the luckiest trial's.

        What luck gives is read off the spread of the trials. Trials that lose to their costs
        widen it without being lucky, so a mean below 0 counts, too (one above 0 does not: that is
        what skill looks like). And it is never taken for less than what as many independent
        trials without skill would show on as many bars.
        """
        moments = Moments.of(net)
        ratios = np.array([trial.sharpe for trial in self.trials]) / math.sqrt(periods_per_year)
        n_trials = max(1, self.n_trials)
        by_chance = deflated_sharpe(moments, n_trials, 1 / max(1, moments.n - 1))
        if len(ratios) < 2:
            return by_chance
        spread, mean = float(ratios.var(ddof=1)), min(0.0, float(ratios.mean()))
        return min(by_chance, deflated_sharpe(moments, n_trials, spread, mean))


def find_campaign(client: MlflowClient, experiment_id: str, symbol: str) -> Campaign:
    """Count the trials of a symbol.

    A run is a trial if it had a result to choose it by: it is a candidate, whatever its model,
    settings or seed. Runs whose walk-forwards are equal bit for bit are one: repeating a command
    tries nothing new.

    Parameters
    ----------
    client : mlflow.MlflowClient
    experiment_id : str
    symbol : str
    """
    found: dict[str, Trial] = {}
    runs = every_page(
        lambda token: client.search_runs(
            [experiment_id],
            f"tags.kind = 'candidate' and tags.symbol = '{symbol}'",
            run_view_type=ViewType.ALL,
            max_results=_PAGE,
            page_token=token,
        )
    )
    for run in runs:
        trial = _trial(run)
        found.setdefault(trial.digest or trial.run_id, trial)
    return Campaign(tuple(found.values()))


def overfitting(records: Mapping[str, Record], chosen: Record, costs: Costs) -> float:
    """Return the probability of backtest overfitting of a campaign, on its common bars.

    Parameters
    ----------
    records : mapping of str to Record
        Walk-forwards of the campaign at the interval of the chosen one, by their digests.
    chosen : Record
        The candidate; trials that cover less than half of its bars are left out, or the common
        bars would shrink to theirs.
    costs : Costs
        Costs per side that all are held against: the candidate's.

    Returns
    -------
    float
        "Do not trade" is always among the configurations, as it is among the thresholds, so that
        one trial has something to be chosen over. NaN for too few common bars.
    """
    usable = {chosen.digest: chosen} | {
        digest: record
        for digest, record in records.items()
        if np.isin(chosen.time_ns, record.time_ns, assume_unique=True).mean() >= 0.5
    }
    common = chosen.time_ns
    for record in usable.values():
        common = np.intersect1d(common, record.time_ns, assume_unique=True)
    columns = [np.zeros(len(common))]
    for record in usable.values():
        net = record.net(costs)
        columns.append(net[np.searchsorted(record.time_ns, common)])
    return backtest_overfitting(np.column_stack(columns))


def load_record(run_id: str) -> Record | None:
    """Fetch a run's walk-forward; None if it kept none, or it is gone.

    Raises
    ------
    TrainerError
        If what is there is not a record.
    """
    with TemporaryDirectory(prefix="barwright-") as folder:
        try:
            path = download_artifacts(run_id=run_id, artifact_path=RECORD_FILE, dst_path=folder)
        except STORE_ERRORS:
            return None
        return Record.read(Path(path))


def _trial(run: Run) -> Trial:
    params, sharpe = run.data.params, run.data.metrics.get("wf_net_sharpe", 0.0)
    try:
        tries = max(1, int(params.get("trials", "1")))
    except ValueError as error:
        raise TrainerError(
            f"run {run.info.run_id} says trials={params.get('trials')!r}, which is no number; "
            "delete the run for good, or use another experiment"
        ) from error
    return Trial(
        run.info.run_id,
        params.get("interval", ""),
        sharpe if math.isfinite(sharpe) else 0.0,
        tries,
        params.get("record_digest", ""),
        run.info.status == "FINISHED",
    )
