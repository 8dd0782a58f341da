"""What this package raises for mistakes of its user."""


class TrainerError(ValueError):
    """A mistake that the user can mend.

    Its text is one sentence for the user: the argument, the rule, the value that broke it, and
    the way out. The command line prints that sentence without a traceback.
    """


class UsageError(TrainerError):
    """An option that breaks its rule, whatever the store holds: exit status 2."""
