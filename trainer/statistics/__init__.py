"""Arithmetic of returns, positions and probabilities: pure functions on arrays."""

#: The modules that other rooms may import.
__all__ = [
    "bar_axis",
    "bootstrap",
    "costs",
    "overfitting",
    "performance",
    "rounding",
    "sharpe_inference",
    "volatility",
]
