"""Names of the walk-forward's metrics where they are stored: each with the prefix ``wf_``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

_PREFIX = "wf_"
Value = TypeVar("Value")


def stored_name(name: str) -> str:
    """Return the name under which a walk-forward metric is logged and written to files.

    >>> stored_name("net_sharpe")
    'wf_net_sharpe'
    """
    return _PREFIX + name


def to_stored(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return walk-forward metrics by their stored names."""
    return {stored_name(name): value for name, value in metrics.items()}


def from_stored(stored: Mapping[str, Value]) -> dict[str, Value]:
    """Return the walk-forward metrics among stored ones, without prefix; leave out all others.

    >>> from_stored({"wf_net_sharpe": 1.5, "val_brier_mean": 0.2})
    {'net_sharpe': 1.5}
    """
    return {
        name.removeprefix(_PREFIX): value
        for name, value in stored.items()
        if name.startswith(_PREFIX)
    }
