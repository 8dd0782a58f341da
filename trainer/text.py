"""Numbers as text for people."""

from __future__ import annotations

import math


def number_text(value: float | None, form: str = ".2f", undefined: str = "undefined") -> str:
    """Return a number as text.

    Parameters
    ----------
    value : float or None
    form : str, default ".2f"
        Format specification, as for `format`.
    undefined : str, default "undefined"
        Text for None, NaN and infinity.

    Examples
    --------
    >>> number_text(1234.5, ",.0f")
    '1,234'
    >>> number_text(float("nan"))
    'undefined'
    """
    if value is None or not math.isfinite(value):
        return undefined
    return format(value, form)


def count_text(number: int, what: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> count_text(1, "run"), count_text(1_200, "logged model")
    ('1 run', '1,200 logged models')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
