"""What a decision needs: a trading model, its files, and the proof that it loads unchanged."""

#: The modules that other rooms may import.
__all__ = [
    "calibrators",
    "contract",
    "explanation",
    "manifest",
    "position_rule",
    "rules",
    "threshold",
    "trading_model",
]
