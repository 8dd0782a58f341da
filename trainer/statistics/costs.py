"""Terms of a performance: costs per side, bars in a trading year."""

from dataclasses import dataclass

import numpy as np

from trainer.errors import TrainerError


@dataclass(frozen=True)
class Costs:
    """Costs of trading, per side: a purchase costs them, and a sale costs them again.

    Parameters
    ----------
    fee_bps, slippage_bps : float
        Basis points of the traded notional, >= 0.

    Raises
    ------
    TrainerError
        If a value is negative, infinite or NaN.

    Examples
    --------
    >>> costs = Costs(fee_bps=10, slippage_bps=5)
    >>> costs.bps
    15
    >>> round(costs.share, 6)
    0.0015
    >>> costs.times(2)
    Costs(fee_bps=20, slippage_bps=10)
    """

    fee_bps: float
    slippage_bps: float

    def __post_init__(self) -> None:
        for name in ("fee_bps", "slippage_bps"):
            bps = getattr(self, name)
            if not 0 <= bps < np.inf:
                raise TrainerError(f"`{name}` must be >= 0 basis points, got {bps}; use 0 for none")

    @property
    def bps(self) -> float:
        """Fee and slippage together, basis points per side."""
        return self.fee_bps + self.slippage_bps

    @property
    def share(self) -> float:
        """Costs per side as a share of the traded notional."""
        return self.bps * 1e-4

    def times(self, multiple: float) -> "Costs":
        """Return the costs multiplied, for a stress test."""
        return Costs(multiple * self.fee_bps, multiple * self.slippage_bps)


@dataclass(frozen=True)
class Terms:
    """What turns positions and returns into a performance.

    Attributes
    ----------
    costs : Costs
    periods_per_year : float
        Bars in a trading year; its square root annualises a Sharpe ratio.
    """

    costs: Costs
    periods_per_year: float
