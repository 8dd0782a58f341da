"""One trial of a search: its settings, and what they earned on the first part of the bars."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from adapters.base import Value
from trainer.config import option_text
from trainer.errors import TrainerError
from trainer.evidence.record import Record
from trainer.procedure.threshold_search import MIN_TRADES

#: How a trial ended: measured on all blocks, stopped after some of them, or with an error.
State = Literal["complete", "pruned", "failed"]
#: Types of the fields of a stored trial.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "number": int, "values": dict, "n_trades": int, "tries": int, "seconds": (int, float),
    "error": str, "gain": (int, float),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial of a search.

    Attributes
    ----------
    number : int
        Its number in the study, from 0; this first trial has the settings of the command itself.
    values : dict of str to value
        Value of each dimension of the space, by name.
    state : {"complete", "pruned", "failed"}
    net_sharpe : tuple of float
        Annualised net Sharpe ratio of the walk-forward in the first part, after each block, over
        all blocks so far; 0 if it never traded.
    n_trades : int
    tries : int
        Models that its fits chose from, for example seeds.
    seconds : float
        Wall time.
    error : str
        Why it failed.
    gain : float
        Log-loss of the base rate less that of the probabilities, in nats; 0 if it is undefined.
    record : Record or None
        The walk-forward bar by bar, of a complete trial that was just measured.
    """

    number: int
    values: dict[str, Value]
    state: State
    net_sharpe: tuple[float, ...] = ()
    n_trades: int = 0
    tries: int = 1
    seconds: float = 0.0
    error: str = ""
    gain: float = 0.0
    record: Record | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Its number for people, from 1."""
        return str(self.number + 1)

    @property
    def value(self) -> float:
        """The ratio over all blocks that were measured; NaN if there are none."""
        return self.net_sharpe[-1] if self.net_sharpe else math.nan

    @property
    def traded(self) -> bool:
        """Whether it traded in the blocks that were measured."""
        return math.isfinite(self.value) and self.value != 0

    @property
    def objective(self) -> float:
        """What the sampler maximises: the ratio, with the gain in log-loss to tell ties apart.

        Most trials never trade and have a ratio of 0. Those whose probabilities are better are
        nearer to settings that trade. A gain is 0.001 to 0.02, far less than a ratio that matters.
        """
        return self.value + self.gain

    def to_json(self) -> str:
        """Return the trial as a text of JSON, without its record; every float keeps its bits."""
        # JSON as Python writes it has NaN.
        return json.dumps({name: v for name, v in vars(self).items() if name != "record"})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        TrainerError
            If it is not the text of a trial.
        """
        try:
            data: Mapping[str, Any] = json.loads(text)
            ratios = tuple(float(value) for value in data["net_sharpe"])
            trial = cls(**{**data, "net_sharpe": ratios})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrainerError(f"its text is damaged ({type(error).__name__}: {error})") from error
        for name, kind in _TYPES.items():
            if not isinstance(getattr(trial, name), kind):
                raise TrainerError(f"its {name} is {getattr(trial, name)!r}")
        if trial.state not in get_args(State):
            raise TrainerError(f"its state is {trial.state!r}")
        return trial


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the highest ratio; of equal ones the first.

    None if none is above 0 on at least `MIN_TRADES` trades: then no settings are shown to earn more
    than no trade does.
    """
    earned = [
        trial
        for trial in trials
        if trial.state == "complete" and trial.value > 0 and trial.n_trades >= MIN_TRADES
    ]
    return max(earned, key=lambda trial: (trial.value, -trial.number), default=None)


def ranked_trials(trials: Iterable[Trial], count: int) -> list[Trial]:
    """Return the best complete trials, best first, then the first trial if it is not among them."""
    complete = [trial for trial in trials if trial.state == "complete"]
    ranked = sorted(complete, key=lambda trial: (-trial.value, trial.number))
    return [*ranked[:count], *(trial for trial in ranked[count:] if trial.number == 0)]


def changed_settings(trial: Trial, start: Mapping[str, Value]) -> list[str]:
    """Return the settings of a trial that differ from those of the first one, as ``name=value``.

    Examples
    --------
    >>> trial = Trial(1, {"horizon": 3, "gru.dropout": 0.12345}, "complete")
    >>> changed_settings(trial, {"horizon": 12, "gru.dropout": 0.1})
    ['horizon=3', 'gru.dropout=0.1235']

    ``smooth`` has no effect beside the rule ``exit``:

    >>> changed_settings(Trial(2, {"position": "exit", "smooth": "h"}, "complete"), {})
    ['position=exit']
    """
    ineffective = {"smooth"} if trial.values.get("position") == "exit" else set()
    return [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={option_text(value)}"
        for name, value in trial.values.items()
        if value != start.get(name) and name not in ineffective
    ]
