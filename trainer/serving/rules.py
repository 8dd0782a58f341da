"""The position rule of a model: from its settings, and from its stored form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from trainer.errors import TrainerError
from trainer.serving.holding_rules import BreakEven, Exit
from trainer.serving.position_rule import PositionRule
from trainer.serving.threshold import Threshold

#: Names of the rules, as the option `--position` takes them.
RuleName = Literal["threshold", "exit", "break-even"]
#: Names of the ways to choose a value, as the option `--selection` takes them.
SelectionName = Literal["best", "deflated"]

_KINDS: dict[str, type[PositionRule]] = {rule.kind: rule for rule in (Threshold, Exit, BreakEven)}
#: Names of positions, for people and for callers over HTTP.
POSITION_NAMES = {1: "long", 0: "flat", -1: "short"}
_POSITIONS = {name: position for position, name in POSITION_NAMES.items()}
#: Type of each field of a stored rule.
_FIELDS: dict[str, tuple[type, ...]] = {
    "value": (int, float, type(None)), "allow_short": (bool,), "smooth": (int,),
    "cost": (int, float), "horizon": (int,), "window": (int,),
}  # fmt: skip


@dataclass(frozen=True)
class RuleSettings:
    """What is fixed about a position rule before its value is chosen.

    Attributes
    ----------
    kind : {"threshold", "exit", "break-even"}
    allow_short : bool
    smooth : int
        As in `PositionRule`.
    cost : float
        Costs of a side, as a share of the traded notional; of `break-even`.
    horizon, window : int
        As in `BreakEven`.
    selection : {"best", "deflated"}
        What the best value must beat to be chosen: no trade at all, or the luck of the best of so
        many values.
    """

    kind: RuleName = "threshold"
    allow_short: bool = True
    smooth: int = 0
    cost: float = 0.0
    horizon: int = 1
    window: int = 72
    selection: SelectionName = "best"

    @property
    def volatility_window(self) -> int:
        """Number of returns of which the rule needs the volatility; 0 for none."""
        return self.rule(None).volatility_window

    def rule(self, value: float | None) -> PositionRule:
        """Return the rule with this value; None is "do not trade"."""
        if self.kind == "break-even":
            return BreakEven(
                value, self.allow_short, self.smooth, self.cost, self.horizon, self.window
            )
        return _KINDS[self.kind](value, self.allow_short, self.smooth)


def rule_from_json(data: dict[str, Any]) -> PositionRule:
    """Return the rule of which `PositionRule.to_json` returned `data`, bit for bit.

    Raises
    ------
    TrainerError
        If a field is missing, unknown, or of another type.
    """
    if "rule" not in data:
        return Threshold.from_json(data)
    kind = _KINDS.get(str(data["rule"]))
    fields = {name: value for name, value in data.items() if name != "rule"}
    if kind is None or not {"value", "allow_short"} <= set(fields) <= set(_FIELDS):
        raise TrainerError(
            f"a position rule must be one of {', '.join(_KINDS)} with its fields, got {data}; "
            "write it with `to_json`"
        )
    wrong = [name for name, value in fields.items() if type(value) not in _FIELDS[name]]
    if wrong:
        raise TrainerError(
            f"`{wrong[0]}` of a position rule has the wrong type, got {data[wrong[0]]!r}; "
            "write it with `to_json`"
        )
    try:
        return kind(**fields)
    except TypeError as error:
        raise TrainerError(f"a position rule has other fields: {error}; train again") from error


def position_of(name: str) -> int | None:
    """Return the position that a name means: 1 for long, 0, -1; None for an empty name.

    Raises
    ------
    TrainerError
        For any other name.
    """
    if not name:
        return None
    if name not in _POSITIONS:
        raise TrainerError(
            f"`held` must be long, flat or short, got {name!r}; leave it out if it is not known"
        )
    return _POSITIONS[name]
