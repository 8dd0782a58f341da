"""The root of Barwright's errors.

A user can mend every error of this tree. Its text is one sentence for the user: the argument, the
rule, the value that breaks the rule, and the way out. The command line prints that sentence
without a traceback.

    BarwrightError            (a ValueError)
    +-- InputError            features/errors.py: bars, features or labels that cannot be used
    +-- AdapterError          adapters/base.py: a model that cannot be fitted, used or loaded
    +-- TrainerError          trainer/errors.py: everything else
        +-- UsageError        trainer/errors.py: an option that breaks its rule; exit status 2
        +-- UnknownPositionError  trainer/errors.py: bars that do not tell a position
"""


class BarwrightError(ValueError):
    """A mistake that the user can mend."""
