"""The error that this room raises for input that cannot be used."""

from barwright import BarwrightError


class InputError(BarwrightError):
    """Bars, features or labels that cannot be used as given.

    The message is one sentence for the user: argument, rule, value, way out.
    """
