"""The contract of a served model: the bars it decides on and the rules it is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from trainer.errors import TrainerError
from trainer.statistics.costs import Costs

#: Fields that must be equal before two net Sharpe ratios of one symbol may be compared, each with
#: the reason. This is the meaning of "same contract" everywhere. `max_gap_bars` and `allow_jumps`
#: and `position` are not among them: like the features, they decide where a model trades, and that
#: is what the comparison measures.
COMPARED_FIELDS: Mapping[str, str] = {
    "interval": "one return per bar: bars of another length have other returns",
    "calendar": "it gives the number of bars in a year, which annualises the ratio",
    "task": "the label defines the meaning of a score, and the rows that exist",
    "horizon": "it decides how many rows are purged, and so which rows are tested",
    "fee_bps": "it is subtracted from every net return",
    "slippage_bps": "it is subtracted from every net return",
}


@dataclass(frozen=True)
class Contract:
    """The input of a model, and the rules that it was trained for.

    Attributes
    ----------
    model, symbol, interval, calendar : str
        Name of the adapter, and the bars that it decides on.
    task : str
        Label kind: direction, forward_return or triple_barrier.
    horizon : int
        Bars over which a label is read.
    fee_bps, slippage_bps : float
        Costs per side for which the threshold was chosen.
    max_gap_bars : int
        A row whose features span more missing bars than this gets no decision: it is flat.
    allow_jumps : bool
        Whether moves that look like splits are accepted.
    position : str, default "threshold"
        Name of the position rule.

    Raises
    ------
    TrainerError
        If a value has another type: a stored contract may contain anything.
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
    position: str = "threshold"

    @property
    def costs(self) -> Costs:
        """Costs per side for which the threshold was chosen."""
        return Costs(self.fee_bps, self.slippage_bps)

    def differences(self, other: Contract) -> dict[str, tuple[object, object]]:
        """Return the `COMPARED_FIELDS` that differ: the own value, then the other one.

        The contracts are the same, in the sense of the gate and the ranking, if this is empty.

        Examples
        --------
        >>> hourly = Contract("gru", "BTCUSDT", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False)
        >>> daily = Contract("ppo", "BTCUSDT", "1d", "24/7", "direction", 12, 10.0, 2.0, 0, False)
        >>> hourly.differences(daily)
        {'interval': ('1h', '1d'), 'slippage_bps': (5.0, 2.0)}
        """
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in COMPARED_FIELDS}
        return {name: (own, others) for name, (own, others) in pairs.items() if own != others}

    def __post_init__(self) -> None:
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
