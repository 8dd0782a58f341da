"""The evidence on a model beside its headline: what evidence.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from trainer.evidence.json_values import number, plain


class _Row:
    """A row of a table of the evidence: a flat object in JSON, named as its fields."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields; undefined numbers are null."""
        return {
            field.name: _to_json(getattr(self, field.name))
            for field in fields(self)  # type: ignore[arg-type]
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; a number that is null or was never written is NaN."""
        return cls(
            *(_from_json(str(field.type), data.get(field.name)) for field in fields(cls))  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class FoldRow(_Row):
    """Metrics of one fold of the production procedure; they chose the threshold (``val_``)."""

    fold: int
    log_loss: float
    brier: float
    roc_auc: float
    net_sharpe: float
    gross_sharpe: float
    turnover: float


@dataclass(frozen=True)
class RegimeRow(_Row):
    """Result of the walk-forward within one part of its bars.

    ``kind`` is ``volatility`` or ``year``; ``n_trades`` counts trades that began in it.
    """

    kind: str
    name: str
    bars: int
    net_sharpe: float
    gross_sharpe: float
    buy_hold_sharpe: float
    net_return: float
    n_trades: int
    exposure: float


@dataclass(frozen=True)
class CostRow(_Row):
    """Result of the walk-forward's positions at a multiple of the costs."""

    multiple: int
    bps_per_side: float
    net_sharpe: float
    net_return: float


@dataclass(frozen=True)
class ThresholdRow(_Row):
    """One threshold that was tried on the out-of-fold probabilities."""

    threshold: float
    val_net_sharpe: float
    trades: int


@dataclass(frozen=True)
class ReliabilityRow(_Row):
    """One bin of the reliability diagram: mean probability, share of rises, number of rows."""

    probability: float
    frequency: float
    rows: int


@dataclass(frozen=True)
class ImportanceRow(_Row):
    """Fall of the out-of-fold ROC AUC when one feature is shuffled."""

    feature: str
    mean: float
    std: float
    folds: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """What evidence.json holds: undefined numbers are NaN here and null there.

    Attributes
    ----------
    rows : int
        Labelled rows of the dataset.
    first, last : str
        Open times of the first and last bar of the training data, ISO 8601.
    periods_per_year : float
        Bars in a trading year.
    record_digest : str
        Digest of the walk-forward's record.
    threshold : float or None
        Threshold of the production model; None for "do not trade".
    flat_because : str
        Why the production model does not trade; empty if it does.
    calibrator : str
        Kind of its calibrator.
    folds, regimes, cost_stress, threshold_curve, reliability, importance
        Tables, one row an entry.
    cpcv_net_sharpe : tuple of float
        Net Sharpe ratio of each CPCV path, annualised.
    null_net_sharpe : tuple of float
        The same of each null run; empty if there were none.
    """

    rows: int = 0
    first: str = ""
    last: str = ""
    periods_per_year: float = 0.0
    record_digest: str = ""
    threshold: float | None = None
    flat_because: str = ""
    calibrator: str = ""
    folds: tuple[FoldRow, ...] = ()
    regimes: tuple[RegimeRow, ...] = ()
    cost_stress: tuple[CostRow, ...] = ()
    cpcv_net_sharpe: tuple[float, ...] = ()
    threshold_curve: tuple[ThresholdRow, ...] = ()
    reliability: tuple[ReliabilityRow, ...] = ()
    importance: tuple[ImportanceRow, ...] = ()
    null_net_sharpe: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the content of evidence.json."""
        return {field.name: _to_json(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; what was never written has its default."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        for name in ("rows", "periods_per_year"):
            if name in values:
                values[name] = number(values[name])
        for name, row in _TABLES.items():
            values[name] = tuple(row.from_json(entry) for entry in values.get(name, ()))
        for name in ("cpcv_net_sharpe", "null_net_sharpe"):
            values[name] = tuple(map(number, values.get(name, ())))
        return cls(**values)


_TABLES: dict[str, type[_Row]] = {
    "folds": FoldRow,
    "regimes": RegimeRow,
    "cost_stress": CostRow,
    "threshold_curve": ThresholdRow,
    "reliability": ReliabilityRow,
    "importance": ImportanceRow,
}


def _to_json(value: Any) -> Any:
    if isinstance(value, _Row):
        return value.to_json()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(entry) for entry in value]
    return plain(value) if isinstance(value, float) else value


def _from_json(kind: str, value: Any) -> Any:
    if kind.startswith("tuple"):
        return tuple(map(number, value or ()))
    return number(value) if kind in ("float", "int") else value
