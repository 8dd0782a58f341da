"""What a version must show before an alias may move to it: one criterion a line, NaN fails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: Probability that the true Sharpe ratio beats the luckiest trial's.
LEAST_DSR = 0.95
LEAST_TRADES = 30
#: Chance that what was best in one half of the bars is a poor choice in the other.
MOST_PBO = 0.5
#: Failed criteria that a sentence names; the table has them all.
_TOLD = 2


@dataclass(frozen=True)
class Criterion:
    """One rule of the gate, and what was found.

    Attributes
    ----------
    name, figure, rule : str
        For people: what is asked, what was found, what it must be.
    passed : bool
    why : str
        What is wrong if it did not pass, as part of a sentence; empty if it passed.
    """

    name: str
    figure: str
    rule: str
    passed: bool
    why: str

    def __post_init__(self) -> None:
        if self.passed:
            object.__setattr__(self, "why", "")

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def judge(metrics: Mapping[str, float | None]) -> list[Criterion]:
    """Apply the gate's criteria that need no other version.

    Parameters
    ----------
    metrics : mapping of str to float or None
        Of the walk-forward, without prefix: ``net_sharpe_lower, dsr, n_bars, min_track_record,
        n_trades, pbo, net_sharpe_cost2x, log_loss, base_rate_log_loss``. What is missing, None or
        NaN fails.

    Returns
    -------
    list of Criterion
        Thresholds: Bailey and Lopez de Prado (2012, 2014), Bailey et al. (2017).
    """

    def get(name: str) -> float:
        value = metrics.get(name)
        return math.nan if value is None else float(value)

    lower, dsr, pbo = get("net_sharpe_lower"), get("dsr"), get("pbo")
    bars, needed, trades = get("n_bars"), get("min_track_record"), get("n_trades")
    doubled, loss, base = get("net_sharpe_cost2x"), get("log_loss"), get("base_rate_log_loss")
    # JSON knows no infinity, so that a model's own file has none either.
    least = f"{needed:,.0f}" if math.isfinite(needed) else "infinitely many"
    if trades == 0:
        # The rest follows from it, and would say so seven times over.
        why = "its walk-forward never traded"
        return [Criterion("trades", "0", f">= {LEAST_TRADES}", False, why)]
    return [
        Criterion(
            "net Sharpe ratio, lower end of its 95 % interval",
            _number(lower, ".2f"),
            "> 0",
            lower > 0,
            f"the 95 % interval of its net Sharpe ratio begins at {_number(lower, '.2f')}",
        ),
        Criterion(
            "deflated Sharpe ratio",
            _number(dsr, ".3f"),
            f">= {LEAST_DSR}",
            dsr >= LEAST_DSR,
            f"its deflated Sharpe ratio is {_number(dsr, '.3f')}",
        ),
        Criterion(
            "bars of walk-forward",
            _number(bars, ",.0f"),
            f">= {least} (MinTRL)",
            bars >= needed,
            f"it would need {least} bars to be believed",
        ),
        Criterion(
            "trades",
            _number(trades, ",.0f"),
            f">= {LEAST_TRADES}",
            trades >= LEAST_TRADES,
            f"it made {_number(trades, ',.0f')} trades",
        ),
        Criterion(
            "probability of backtest overfitting",
            _number(pbo, ".2f"),
            f"< {MOST_PBO}",
            pbo < MOST_PBO,
            f"its probability of backtest overfitting is {_number(pbo, '.2f')}",
        ),
        Criterion(
            "net Sharpe ratio at twice the costs",
            _number(doubled, ".2f"),
            "> 0",
            doubled > 0,
            "it loses at twice the costs",
        ),
        Criterion(
            "log-loss",
            _number(loss, ".4f"),
            f"< {_number(base, '.4f')} (base rate)",
            loss < base,
            "its probabilities were no better than the base rate's",
        ),
    ]


def passed(criteria: Sequence[Criterion]) -> bool:
    """Whether every criterion passed; nothing to judge by is not enough."""
    return bool(criteria) and all(criterion.passed for criterion in criteria)


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a version.

    Attributes
    ----------
    status : str
        ``flat``: it does not trade; ``unproven``: it trades, and a criterion failed; ``proven``.
    reason : str
        Why it is flat or unproven; empty for proven.
    criteria : list of Criterion
    """

    status: str
    reason: str
    criteria: list[Criterion]

    @classmethod
    def of(cls, flat_because: str, criteria: list[Criterion]) -> Verdict:
        """Weigh the criteria of a model, which is flat if there is a reason for that."""
        if flat_because:
            return cls("flat", flat_because, criteria)
        if passed(criteria):
            return cls("proven", "", criteria)
        doubts = [criterion.why for criterion in criteria if not criterion.passed]
        if not doubts:
            return cls("unproven", "its evidence is not gathered yet", criteria)
        more = f", and {len(doubts) - _TOLD} more criteria fail" if len(doubts) > _TOLD else ""
        return cls("unproven", ", ".join(doubts[:_TOLD]) + more, criteria)


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "undefined"
