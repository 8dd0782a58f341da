"""Errors of the trainer that its user can mend.

`barwright` shows the tree of all errors.
"""

from barwright import BarwrightError


class TrainerError(BarwrightError):
    """A setting, a store or a model that cannot be used; the text is one sentence for the user."""


class UsageError(TrainerError):
    """An option that breaks its rule, whatever the store contains: exit status 2."""


class UnknownPositionError(TrainerError):
    """A position depends on what came before the bars that were given."""


def error_text(error: BaseException) -> str:
    """Return an error as a text for the user: one that was not foreseen has its kind.

    Examples
    --------
    >>> error_text(TrainerError("give more bars"))
    'give more bars'
    >>> error_text(OSError("the pipe is closed"))
    'OSError: the pipe is closed'
    """
    if isinstance(error, BarwrightError):
        return str(error)
    return f"{type(error).__name__}: {error}"
