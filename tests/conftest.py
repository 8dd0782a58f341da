"""Settings that every test shares."""

from hypothesis import settings

# The same examples on every machine and in every run, and no time limit on a busy one.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
