"""The root of Barwright's errors.

Every error that a user can mend is one of these; its text is one sentence for the user: the
argument, the rule, the value that broke it, and the way out. The command line prints that sentence
without a traceback.

    BarwrightError            (a ValueError)
    +-- InputError            features/errors.py: bars, features or labels that cannot be used
    +-- AdapterError          adapters/base.py: a model that cannot be fitted, used or loaded
    +-- TrainerError          trainer/errors.py: everything else
        +-- UsageError        an option that breaks its rule: exit status 2
"""


class BarwrightError(ValueError):
    """A mistake that the user can mend."""
