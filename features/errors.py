"""The one error that a user of this room can mend."""


class InputError(ValueError):
    """Bars, features or labels that cannot be used as they are.

    The text is one sentence for the user: argument, value, rule, way out.
    """
