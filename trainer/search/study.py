"""The study of a search: which settings the next trial tries, and which trials end early.

Every proposal depends on nothing but the space, the seed, its number and the trials before its
batch. So a search that was killed goes on with the trials that it would have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import Range, Value
from trainer.search.space import Space
from trainer.search.trial import Trial

if TYPE_CHECKING:
    import optuna

#: Trials that are proposed together, from the trials of the batches before them.
BATCH = 4
#: Trials of random settings before the sampler models what they earned.
RANDOM_TRIALS = 12
#: Complete trials before a trial may end early.
LEAST_COMPLETE = 5


def known_before(trials: Sequence[Trial], number: int) -> list[Trial]:
    """Return the trials of the batches before that of this number, by number."""
    first = number - number % BATCH
    return sorted((t for t in trials if t.number < first), key=lambda trial: trial.number)


def propose(space: Space, past: Sequence[Trial], number: int, seed: int) -> dict[str, Value]:
    """Return the settings of a trial; the first has those of the command.

    Parameters
    ----------
    space : Space
    past : sequence of Trial
        Those of the batches before, as `known_before` returns them.
    number : int
    seed : int

    References
    ----------
    Bergstra, J. et al. (2011). Algorithms for hyper-parameter optimization. NeurIPS 24. (The
        tree-structured Parzen estimator.)
    """
    if number == 0:
        return dict(space.start)
    from optuna.samplers import TPESampler

    sampler = TPESampler(
        n_startup_trials=RANDOM_TRIALS,
        multivariate=True,
        seed=int(np.random.default_rng([seed, number]).integers(2**31)),
    )
    trial = _study(space, past, sampler).ask(_distributions(space))
    return {name: trial.params[name] for name in space.dimensions}


def should_stop(space: Space, past: Sequence[Trial], net_sharpe: Sequence[float]) -> bool:
    """Return whether a trial is so far worse than the median of the trials before it.

    Parameters
    ----------
    space : Space
    past : sequence of Trial
        Those of the batches before.
    net_sharpe : sequence of float
        Its ratios after each block so far.

    References
    ----------
    Golovin, D. et al. (2017). Google Vizier: a service for black-box optimization. KDD. (The median
        stopping rule.)
    """
    if sum(trial.state == "complete" for trial in past) < LEAST_COMPLETE:
        return False
    from optuna.pruners import MedianPruner
    from optuna.samplers import RandomSampler

    pruner = MedianPruner(n_startup_trials=LEAST_COMPLETE)
    trial = _study(space, past, RandomSampler(seed=0), pruner).ask(_distributions(space))
    for step, value in enumerate(net_sharpe):
        trial.report(value, step)
    return trial.should_prune()


def _study(space: Space, past: Sequence[Trial], sampler: Any, pruner: Any = None) -> optuna.Study:
    """Return a study in memory that holds the trials before."""
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    states = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    distributions = _distributions(space)
    for trial in past:
        study.add_trial(
            create_trial(
                state=states[trial.state],
                params=dict(trial.values),
                distributions=distributions,
                value=trial.objective if trial.state == "complete" else None,
                intermediate_values=dict(enumerate(trial.net_sharpe)),
            )
        )
    return study


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    distributions: dict[str, Any] = {}
    for name, values in space.dimensions.items():
        if not isinstance(values, Range):
            # A value of the command that is not among those of the space is tried, too.
            own = space.start[name]
            choices = values if own in values else (own, *values)
            distributions[name] = CategoricalDistribution(choices)
        elif isinstance(values.low, int) and isinstance(values.high, int):
            distributions[name] = IntDistribution(values.low, values.high, log=values.log)
        else:
            distributions[name] = FloatDistribution(values.low, values.high, log=values.log)
    return distributions
