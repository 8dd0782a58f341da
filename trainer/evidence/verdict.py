"""The gate's rules: what a version must show before an alias may move to it.

One criterion a rule. A value that is undefined (NaN) or missing fails its rule.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainer.text import number_text

#: Least probability that the true Sharpe ratio is above the best one that luck gives in all trials.
LEAST_DSR = 0.95
LEAST_TRADES = 30
#: Probability that the best trial in one half of the bars is a poor choice in the other half.
MOST_PBO = 0.5
#: Statuses of a version, best first.
STATUSES = ("proven", "unproven", "flat")
#: Failed criteria that the reason of a verdict names. The table of criteria has all of them.
_NAMED_REASONS = 2
_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt}


@dataclass(frozen=True)
class Criterion:
    """One rule of the gate, applied to a version.

    Attributes
    ----------
    name, value, rule : str
        Texts for people: what is required, its value, and the rule for that value.
    passed : bool
    why : str
        What is wrong, as part of a sentence; empty if the criterion passed.

    Examples
    --------
    >>> Criterion("trades", "12", ">= 30", False, "it made 12 trades").to_json()["figure"]
    '12'
    """

    name: str
    value: str
    rule: str
    passed: bool
    why: str

    def __post_init__(self) -> None:
        if self.passed:
            object.__setattr__(self, "why", "")

    def to_json(self) -> dict[str, Any]:
        """Return the criterion as it is stored in tags, where `value` has the key ``figure``."""
        return {
            "name": self.name,
            "figure": self.value,
            "rule": self.rule,
            "passed": self.passed,
            "why": self.why,
        }


@dataclass(frozen=True)
class Rule:
    """A comparison of one metric of the walk-forward with a bound.

    Attributes
    ----------
    name : str
        Name of the criterion.
    metric : str
        Name of the metric, without prefix.
    comparison : {">", ">=", "<"}
    bound : float or str
        A number, or the name of another metric of the same walk-forward.
    form : str
        Format of the value, and of a bound that is a metric.
    why : str
        What is wrong if the rule fails; ``{value}`` and ``{bound}`` are replaced.
    bound_name : str
        What a bound that is a metric is called in texts.
    undefined_bound : str
        Text for a bound that is undefined.
    """

    name: str
    metric: str
    comparison: str
    bound: float | str
    form: str
    why: str
    bound_name: str = ""
    undefined_bound: str = "undefined"

    @property
    def text(self) -> str:
        """The rule without values: ``>= 0.95``, ``>= MinTRL``."""
        return f"{self.comparison} {self.bound_name or self.bound}"

    def apply(self, metrics: Mapping[str, float | None]) -> Criterion:
        """Compare the metric with the bound; what is missing, None or NaN fails."""
        value = _value(metrics, self.metric)
        if isinstance(self.bound, str):
            bound = _value(metrics, self.bound)
            bound_text = number_text(bound, self.form, self.undefined_bound)
        else:
            bound, bound_text = self.bound, str(self.bound)
        value_text = number_text(value, self.form)
        suffix = f" ({self.bound_name})" if self.bound_name else ""
        return Criterion(
            name=self.name,
            value=value_text,
            rule=f"{self.comparison} {bound_text}{suffix}",
            passed=bool(_COMPARISONS[self.comparison](value, bound)),
            why=self.why.format(value=value_text, bound=bound_text),
        )


_TRADES = Rule("trades", "n_trades", ">=", LEAST_TRADES, ",.0f", "it made {value} trades")

#: Every rule that needs no other version, in the order of the criteria.
RULES = (
    Rule(
        "net Sharpe ratio, lower end of its 95 % interval", "net_sharpe_lower", ">", 0, ".2f",
        "the 95 % interval of its net Sharpe ratio begins at {value}",
    ),
    Rule(
        "deflated Sharpe ratio", "dsr", ">=", LEAST_DSR, ".3f",
        "its deflated Sharpe ratio is {value}",
    ),
    Rule(
        "bars of walk-forward", "n_bars", ">=", "min_track_record", ",.0f",
        "it would need {bound} bars to be believed",
        # JSON has no infinity: a bound that was infinite is undefined once it was stored.
        bound_name="MinTRL", undefined_bound="infinitely many",
    ),
    _TRADES,
    Rule(
        "probability of backtest overfitting", "pbo", "<", MOST_PBO, ".2f",
        "its probability of backtest overfitting is {value}",
    ),
    Rule(
        "net Sharpe ratio at twice the costs", "net_sharpe_cost2x", ">", 0, ".2f",
        "it loses at twice the costs",
    ),
    Rule(
        "log-loss", "log_loss", "<", "base_rate_log_loss", ".4f",
        "its probabilities were no better than the base rate's",
        bound_name="base rate",
    ),
)  # fmt: skip


#: What the option `--against` may name, with the rule that it adds: a better result than that of a
#: baseline on the same bars, after the same costs.
AGAINST: dict[str, tuple[Rule, ...]] = {
    "none": (),
    "hold": (
        Rule(
            "Sharpe ratio less that of always long, lower end", "less_hold_lower", ">", 0, ".2f",
            "its net Sharpe ratio is not shown to be above that of always long: the 95 % interval "
            "of the difference begins at {value}",
        ),
    ),
    "momentum": (
        Rule(
            "Sharpe ratio less that of momentum, lower end", "less_momentum_lower", ">", 0, ".2f",
            "its net Sharpe ratio is not shown to be above that of 30-day momentum: the 95 % "
            "interval of the difference begins at {value}",
        ),
    ),
}  # fmt: skip


def rules_table(against: str | None = None) -> list[tuple[str, str, str]]:
    """Return the gate's rules for help texts and documents.

    Parameters
    ----------
    against : {"none", "hold", "momentum"}, optional
        Return only the rules that this value of `--against` adds.

    Returns
    -------
    list of (str, str, str)
        Criterion, rule, name of the metric (without prefix).

    Examples
    --------
    >>> rules_table()[1]
    ('deflated Sharpe ratio', '>= 0.95', 'dsr')
    >>> rules_table()[2]
    ('bars of walk-forward', '>= MinTRL', 'n_bars')
    """
    rules = RULES if against is None else AGAINST[against]
    return [(rule.name, rule.text, rule.metric) for rule in rules]


def judge(metrics: Mapping[str, float | None], against: str = "none") -> list[Criterion]:
    """Apply `RULES`, the criteria that need no other version.

    Parameters
    ----------
    metrics : mapping of str to float or None
        Metrics of the walk-forward and of its trials, without prefix. What is missing, None or
        NaN fails.
    against : {"none", "hold", "momentum"}
        Baseline that the walk-forward must beat as well.

    Returns
    -------
    list of Criterion
        One for each rule; for a walk-forward without a trade only the criterion of the trades,
        because all others follow from it.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2012). The Sharpe ratio efficient frontier. Journal of
    Risk 15(2).
    Bailey, D. H. and Lopez de Prado, M. (2014). The deflated Sharpe ratio. Journal of Portfolio
    Management 40(5).
    Bailey, D. H. et al. (2017). The probability of backtest overfitting. Journal of Computational
    Finance 20(4).

    Examples
    --------
    >>> criteria = judge({"n_trades": 12, "dsr": 0.97, "log_loss": 0.69})
    >>> [(c.name, c.value, c.rule, c.passed) for c in criteria if c.name in ("trades", "log-loss")]
    [('trades', '12', '>= 30', False), ('log-loss', '0.6900', '< undefined (base rate)', False)]
    >>> [c.name for c in criteria if c.passed]
    ['deflated Sharpe ratio']
    >>> [c.why for c in judge({"n_trades": 0})]
    ['its walk-forward never traded']
    """
    if _value(metrics, _TRADES.metric) == 0:
        return [replace(_TRADES.apply(metrics), why="its walk-forward never traded")]
    return [rule.apply(metrics) for rule in (*RULES, *AGAINST[against])]


def passed(criteria: Sequence[Criterion]) -> bool:
    """Return whether every criterion passed; False without any criterion."""
    return bool(criteria) and all(criterion.passed for criterion in criteria)


@dataclass(frozen=True)
class Verdict:
    """The conclusion from the criteria of a version.

    Attributes
    ----------
    status : {"proven", "unproven", "flat"}
        ``flat``: it does not trade; ``unproven``: it trades, and a criterion failed; ``proven``:
        it trades, and every criterion passed.
    reason : str
        Why it is flat or unproven; empty for proven.
    criteria : list of Criterion

    Examples
    --------
    >>> Verdict.of("", judge({"n_trades": 0})).reason
    'its walk-forward never traded'
    >>> Verdict.of("no threshold paid", []).status
    'flat'
    """

    status: str
    reason: str
    criteria: list[Criterion]

    @classmethod
    def of(cls, flat_because: str, criteria: list[Criterion]) -> Verdict:
        """Return the verdict on a model that is flat for a reason, or trades if that is empty."""
        if flat_because:
            return cls("flat", flat_because, criteria)
        if passed(criteria):
            return cls("proven", "", criteria)
        reasons = [criterion.why for criterion in criteria if not criterion.passed]
        if not reasons:
            return cls("unproven", "its evidence is not gathered yet", criteria)
        others = len(reasons) - _NAMED_REASONS
        more = f", and {others} more criteria fail" if others > 0 else ""
        return cls("unproven", ", ".join(reasons[:_NAMED_REASONS]) + more, criteria)


def _value(metrics: Mapping[str, float | None], name: str) -> float:
    value = metrics.get(name)
    return math.nan if value is None else float(value)
