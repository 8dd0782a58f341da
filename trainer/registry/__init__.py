"""Keep versions in the MLflow Model Registry: verify, register, promote and roll back."""

# The modules that other rooms may import; the others are private.
__all__ = [
    "alias",
    "claims",
    "newest",
    "orphans",
    "promotion",
    "prune",
    "register",
    "stale",
    "verify",
    "version_tags",
    "versions",
]
