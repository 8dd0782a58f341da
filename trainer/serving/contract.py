"""The contract of a model: the bars it decides on, and the rules it was trained for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from trainer.errors import TrainerError
from trainer.statistics.costs import Costs


@dataclass(frozen=True)
class Contract:
    """What a model must be given, and what it was made for.

    Attributes
    ----------
    model, symbol, interval, calendar : str
        Name of the adapter, and the bars it decides on.
    task : str
        What its scores mean: direction, forward_return or triple_barrier.
    horizon : int
        Bars an outcome is read over.
    fee_bps, slippage_bps : float
        Costs per side that the threshold was chosen for.
    max_gap_bars : int
        Rows whose features span more missing bars than this get no decision: flat.
    allow_jumps : bool
        Whether moves that look like splits are accepted.
    """

    model: str
    symbol: str
    interval: str
    calendar: str
    task: str
    horizon: int
    fee_bps: float
    slippage_bps: float
    max_gap_bars: int
    allow_jumps: bool

    @property
    def costs(self) -> Costs:
        """Costs per side that the threshold was chosen for."""
        return Costs(self.fee_bps, self.slippage_bps)

    def __post_init__(self) -> None:
        """Refuse values of another kind: a stored contract may hold anything."""
        kinds: dict[str, tuple[type, ...]] = {
            "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)
        }  # fmt: skip
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, kinds[str(field.type)]):
                raise TrainerError(
                    f"`{field.name}` of the contract must be {field.type}, got {value!r}; "
                    "train again"
                )
